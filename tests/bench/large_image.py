"""Peak memory and time of `medenh enhance` on one 8000x6000 RGB image.

python tests/bench/large_image.py [--width 8000] [--height 6000] [--model ID]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data


def main() -> None:
    """Print seconds, peak GiB and whether the output has the input's shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=8000)
    parser.add_argument("--height", type=int, default=6000)
    parser.add_argument("--model", default="dpe-general")
    arguments = parser.parse_args()
    size = (arguments.width, arguments.height)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "large.png", Path(name) / "out.png"
        picture = cv2.resize(data.retina(), size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(source), (picture * 0.4).astype(np.uint8)[..., ::-1])
        command = [sys.executable, "-m", "medenh", "enhance", str(source)]
        command += ["-o", str(target), "-m", arguments.model, "-q"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        shape = cv2.imread(str(target)).shape
    report = {"seconds": round(seconds, 1), "peak_gib": round(peak, 2), "shape": shape}
    print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    main()
