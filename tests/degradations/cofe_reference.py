"""A slow, literal carrying-out of Cofe-Net's equations: Pillow, SciPy, no OpenCV.

Only cleaning uses OpenCV, whose circles, flood fill and resizing define the result.
"""

import math

import cv2
import numpy as np
from PIL import Image, ImageEnhance
from scipy import ndimage

TINTS = np.array([[251, 249, 246], [141, 238, 238], [177, 195, 147]]) / 255
TYPES = ("001", "010", "011", "100", "101", "110", "111")


def kernel(length, sigma):
    place = np.arange(length) - (length - 1) / 2
    taps = np.exp(-(place**2) / (2 * sigma**2)) if length > 1 else np.ones(1)
    return taps / taps.sum()


def gauss(plane, width, height, sigma):
    rows = ndimage.correlate1d(plane, kernel(width, sigma), axis=1, mode="mirror")
    return ndimage.correlate1d(rows, kernel(height, sigma), axis=0, mode="mirror")


def disc(side, centre, diameter):
    y, x = np.mgrid[:side, :side]
    return (np.hypot(x - centre[0], y - centre[1]) <= int(diameter / 2)).astype(float)


def clean(photo):
    """Return the program's square and mask, uint8, of a native photograph (A.1)."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (0, 0), fx=0.5, fy=0.5)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    bright = (grey > max(0, grey.mean() / 3 - 7)).astype(np.uint8)
    holes = 1 - bright
    h, w = bright.shape
    for corner in ((0, 0), (w - 1, h - 1)):
        cv2.floodFill(holes, np.zeros((h + 2, w + 2), np.uint8), corner, 0)
    kernel = np.ones((20, 20), np.uint8)
    bright = cv2.dilate(cv2.erode(bright + holes, kernel), kernel)
    ends = {"minRadius": min(h, w) // 4, "maxRadius": max(h, w) // 2 + 1}
    gradient = cv2.HOUGH_GRADIENT
    found = cv2.HoughCircles(
        255 * bright, gradient, 1, 1000, param1=5, param2=5, **ends
    )
    cx, cy, radius = (2 * float(one) for one in found[0, 0])
    radius = int(radius)
    height, width = photo.shape[:2]
    disc = cv2.circle(
        np.zeros((height, width), np.uint8), (int(cx), int(cy)), radius, 1, -1
    )
    top, left = max(0, int(cy - radius)), max(0, int(cx - radius))
    tall, wide = min(height - top, 2 * radius), min(width - left, 2 * radius)
    side = max(tall, wide)
    y, x = int(side / 2 - tall / 2), int(side / 2 - wide / 2)
    squares = []
    for plane in (photo * disc[..., None], disc * np.uint8(255)):
        square = np.zeros((side, side, *plane.shape[2:]), np.uint8)
        square[y : y + tall, x : x + wide] = plane[top : top + tall, left : left + wide]
        squares.append(cv2.resize(square, (512, 512)))
    return squares


def carry_out(levels, params, mask):
    """Return uint8 (S, S, 3) from uint8 (S, S, 3), a record's params, a mask."""
    side = len(levels)
    light = params.get("illumination", {})
    picture = Image.fromarray(levels)
    if "color" in light:
        for kind, name in (
            (ImageEnhance.Brightness, "brightness_factor"),
            (ImageEnhance.Contrast, "contrast_factor"),
            (ImageEnhance.Color, "saturation_factor"),
        ):
            picture = kind(picture).enhance(light["color"][name])
    x = (np.array(picture).astype(np.float32) / np.float32(255)).astype(float)
    if "halo" in light:
        halo = light["halo"]
        ring = np.abs(
            disc(side, halo["center_a"], halo["dia_a"])
            - disc(side, halo["center_b"], halo["dia_b"])
        )
        cx, cy = halo["center_a"]
        reach = int(abs(2 * max(cx, side - cx, cy, side - cy) - halo["dia_a"]))
        window = reach + 1 - reach % 2
        soft = gauss(ring * x.mean(), window, window, 2 / 3 * reach or 1)
        number = halo["num"] if "num" in halo else halo["style_num"]
        x = np.clip(x + soft[..., None] * TINTS[number], 0, 1)
    if "hole" in light:
        hole = light["hole"]
        soft = gauss(
            disc(side, hole["center"], hole["diameter_circle"])
            * hole["brightness_factor"],
            hole["rad_w"],
            hole["rad_h"],
            hole["sigma"],
        )
        x = np.clip(x + soft[..., None], 0, 1)
    for spot in params.get("spots", []):
        ratio = spot["radius"] / 25
        dim = math.exp(-(0.5 + ratio) * 0.3 * ratio)
        height = (
            spot["A"] * (1 - spot["t"]) if "t" in spot else (1.56 - ratio) * (1 - dim)
        )
        soft = gauss(
            disc(side, spot["center"], spot["radius"]) * height,
            spot["rad_w"],
            spot["rad_h"],
            spot["sigma"],
        )
        x = np.clip(x + soft[..., None], 0, 1)
    if "blur" in params:
        blur = params["blur"]
        planes = [
            gauss(x[..., c], blur["rad_w"], blur["rad_h"], blur["sigma"])
            for c in range(3)
        ]
        x = np.clip(np.stack(planes, -1), 0, 1)
    return (x * (mask[..., None] / 255) * 255 + 1e-9).astype(np.uint8)


def draw(rng, kind, *, side=512, older=False, mean=0.5):
    """Return a record's params as the program draws them, in either layout."""

    def whole(low, high):
        return int(rng.integers(int(low), int(high) + 1))

    params = {}
    if kind[2] == "1":
        centre = [whole(side * 3 / 8, side * 5 / 8) for _ in range(2)]
        inner = side * float(rng.uniform(0.75, 1))
        reach = int(abs(2 * max(*centre, *(side - c for c in centre)) - inner))
        halo = {
            "center_a": centre,
            "dia_a": inner,
            "center_b": centre,
            "dia_b": side * float(rng.uniform(1.4, 1.9)),
        }
        style = whole(0, 2)
        if older:
            halo |= {
                "style_num": style,
                "leak_style": TINTS.T.tolist(),
                "gauss_rad": reach + 1 - reach % 2,
                "sigma": 2 / 3 * reach,
            }
        else:
            halo["num"] = style
        across = whole(0.4 * side, 0.7 * side)
        sides = [whole(0.55 * across, 0.75 * across) for _ in range(2)]
        params["illumination"] = {
            "color": {
                "brightness_factor": float(rng.uniform(0.7, 1.2)),
                "contrast_factor": float(rng.uniform(0.6, 1.4)),
                "saturation_factor": float(rng.uniform(0.6, 1.4)),
            },
            "halo": halo,
            "hole": {
                "center": [whole(side / 4, side * 3 / 4), whole(side / 3, side / 2)],
                "diameter_circle": across,
                "brightness_factor": -float(rng.uniform(0.28, 0.3)),
                "rad_w": sides[0] + 1 - sides[0] % 2,
                "rad_h": sides[1] + 1 - sides[1] % 2,
                "sigma": 0.8 * max(sides),
            },
        }
    if kind[1] == "1":
        params["spots"] = [
            _spot(rng, whole, side, older) for _ in range(whole(5, 10 + 10 * older))
        ]
    if kind[0] == "1":
        sigma = float(rng.uniform(5, 15))
        sides = [whole(sigma / 3, sigma / 2) for _ in range(2)]
        params["blur"] = {
            "sigma": sigma,
            "rad_w": sides[0] + 1 - sides[0] % 2,
            "rad_h": sides[1] + 1 - sides[1] % 2,
        }
    return params


def _spot(rng, whole, side, older):
    radius = whole(math.ceil(0.01 * side), 0.05 * side)
    sigma = (5 + 20 * radius / 25) * 2
    sides = [whole(sigma / 5, sigma / 4) for _ in range(2)]
    spot = {
        "radius": radius,
        "center": [whole(radius + 1, side - radius - 1) for _ in range(2)],
        "rad_w": sides[0] + 1 - sides[0] % 2,
        "rad_h": sides[1] + 1 - sides[1] % 2,
        "sigma": sigma,
    }
    if older:
        beta = 0.5 if radius < 25 else 1.5
        spot |= {
            "A": 1.56 - radius / 25,
            "t": math.exp(-beta * 0.3 * radius / 25),
        }
    return spot
