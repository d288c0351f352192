"""Directions of imports, and what must not be loaded early."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import medenh

PACKAGE = Path(medenh.__file__).parent
# a room may import rooms of lower rank, and itself
RANK = {
    "cli": 7,
    "publishing": 6,
    "reports": 5,
    "evaluation": 5,
    "training": 5,
    "pipeline": 5,
    "tasks": 4,
    "degradations": 4,
    "metrics": 4,
    "modality": 4,
    "losses": 4,
    "zoo": 4,
    "formats": 4,
    "classical": 4,
    "models": 3,
    "intensity": 3,
    "wavelets": 3,
    "colour": 3,
    "device": 2,
    "types": 2,
    "arrays": 2,
    "hashing": 1,
    "control_groups": 0,
    "opencv": 0,
    "paths": 1,
    "scratch": 0,
    "text_files": 1,
    "errors": 0,
}
# reports score with models they load, and training validates with metrics: rank 5 may
# import rank 5 where named
ALLOWED = {
    ("tasks", "formats"),  # labels belong to pictures by name
    ("tasks", "zoo"),  # a recogniser's weights come from the zoo
    ("degradations", "metrics"),  # records keep the score of doing nothing
    ("degradations", "formats"),  # a resized picture keeps how it is to be seen
    ("reports", "pipeline"),
    ("reports", "evaluation"),
    ("evaluation", "pipeline"),
    ("evaluation", "training"),  # data packs are read in one place
    (
        "types",
        "intensity",
    ),  # Image.to_unit and from_unit are the library's names for it
}
HOMES = {
    "pydicom": {"formats/dicom", "reports"},
    "nibabel": {"formats"},
    "cv2": {
        "formats",
        "classical",
        "degradations",
        "training",
        "colour",
        "modality",
        "cli/doctor",
        "metrics/similarity",  # a Gaussian filter five times as fast as SciPy's
        "metrics/fidelity",  # the same
        "metrics/structures",  # a JPEG as a released script's OpenCV writes it
        "pipeline/openvino_cache",  # area means: OpenVINO pools slowly
        "pipeline/lettering",  # connected parts and their boxes
        "pipeline/reduced",  # area means and bilinear maps of whole photographs
    },
    "PIL": {
        "formats",
        "reports",
        "tasks",  # only Pillow gives mask indices
        "pipeline/sharpness",  # an antialiased bicubic filter without SciPy's start
    },
    "typer": {"cli"},
    "rich": {"cli"},
    "pooch": {"zoo"},
    "pywt": {"classical", "wavelets"},
    "openvino": {"pipeline", "cli/doctor"},
    "onnxruntime": {"zoo/onnx_file"},
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


SOURCES = sorted(p for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = _room(path)
    if room in ("__init__", "__main__"):
        return
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "medenh" or len(parts) < 2 or parts[1] not in RANK:
            continue
        other = parts[1]
        lower = RANK[other] < RANK[room]
        assert other == room or lower or (room, other) in ALLOWED, f"{room} -> {other}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_third_parties_stay_home(path):
    place = path.relative_to(PACKAGE).as_posix()
    if place == "opencv.py":
        return
    for name in _imports(path):
        assert name.split(".")[0] != "cv2", f"{place}: cv2 comes from medenh.opencv"
        homes = HOMES.get(name.removeprefix("medenh.opencv.").split(".")[0])
        if homes is not None:
            assert any(place.startswith(home) for home in homes), f"{place}: {name}"


def test_importing_medenh_loads_nothing_heavy():
    heavy = ["torch", "numpy", "cv2", "pydicom", "nibabel", "skimage", "scipy"]
    code = f"import sys, medenh; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
