"""Break runs at random moments, give the same command again, compare bytes.

    python tests/bench/break_and_resume.py kill [--times 20] [--model ID]
    python tests/bench/break_and_resume.py stop [--times 20] [--model ID]
    python tests/bench/break_and_resume.py full-disk [--times 20] [--model ID]

`kill`: kill -9, most times between two outputs or within one, else anywhere from the
start of the process; a run may be killed several times before it may end. `stop`: the
same by SIGINT or SIGTERM, which must end it within 2 s, with exit code 130 or 143 and a
journal that knows every output. `full-disk` (root, Linux): a disk of a random size, too
small for the outputs, which then grows.

No half-written file may ever stand under a final name; after the last run every output
is byte-identical to an undisturbed run's, no temporary file is left, and the inputs are
as they were. Prints one line of JSON; everything under "faults" must be 0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from enhance_vs_loop import make_folder

from medenh.pipeline.journal import Journal

FAULTS = (
    "half-written",
    "exit code",
    "slow to end",
    "not in the journal",
    "other bytes",
    "temporary left",
    "input changed",
)
MOST_SECONDS = 2.0  # from a signal to the end
BETWEEN_OUTPUTS = 0.8  # share of the kills that wait for outputs first
GO_ON = 0.3  # share of the kills after which the run may end
PAGE = 4096  # a disk in memory has whole pages


def hashes(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the visible files of a folder that may not be there."""
    visible = (p for p in folder.glob("*") if not p.name.startswith("."))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in visible}


def parts(folder: Path) -> int:
    """Return how many temporary files a folder holds."""
    return len(list(folder.glob(".*-part")))


class Trial:
    """A command, what an undisturbed run of it gives, and what was seen of others."""

    def __init__(self, place: Path, arguments: argparse.Namespace) -> None:
        self.source, self.disk = place / "in", place / "disk"
        self.target = self.disk / "out"
        self.source.mkdir()
        self.disk.mkdir()
        make_folder(self.source, arguments.images, arguments.size)
        self.command = [sys.executable, "-m", "medenh", "enhance", str(self.source)]
        self.command += ["-o", str(self.target), "-m", arguments.model, "-q"]
        self.inputs = hashes(self.source)
        self.run()  # builds caches
        shutil.rmtree(self.target)
        start = time.perf_counter()
        self.run()
        self.seconds = time.perf_counter() - start
        self.expected = hashes(self.target)
        self.bytes = sum(p.stat().st_size for p in self.target.iterdir())
        shutil.rmtree(self.target)
        self.seen: Counter[str] = Counter()
        self.faults = Counter(dict.fromkeys(FAULTS, 0))

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(self.command, check=False, capture_output=True, text=True)

    def look(self) -> None:
        """Count what a broken run has left."""
        there = hashes(self.target)
        self.seen["outputs when broken"] += len(there)
        self.seen["temporary files when broken"] += parts(self.target)
        self.faults["half-written"] += not there.items() <= self.expected.items()

    def finish(self) -> None:
        """Let the command end, compare, and clear the output folder."""
        self.faults["exit code"] += self.run().returncode != 0
        self.faults["other bytes"] += hashes(self.target) != self.expected
        self.faults["temporary left"] += parts(self.target)
        self.faults["input changed"] += hashes(self.source) != self.inputs
        self.seen["compared"] += 1
        shutil.rmtree(self.target)


def wait_for_a_moment(
    trial: Trial, process: subprocess.Popen[bytes], rng: random.Random
) -> None:
    """Return at a random moment of a run, or once it has ended."""
    if rng.random() < BETWEEN_OUTPUTS:
        there = len(hashes(trial.target))
        wanted = rng.randrange(there, len(trial.expected))
        while (
            process.poll() is None and len(list(trial.target.glob("*.png"))) <= wanted
        ):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
    else:
        time.sleep(rng.uniform(0, trial.seconds))


def kill(trial: Trial, times: int, rng: random.Random) -> None:
    """Kill runs a number of times."""
    while trial.seen["broken"] < times:
        process = subprocess.Popen(trial.command, stderr=subprocess.DEVNULL)
        wait_for_a_moment(trial, process, rng)
        process.kill()
        killed = process.wait() != 0
        trial.seen["broken"] += killed
        trial.seen["ended before the kill"] += not killed
        trial.look()
        whole = len(hashes(trial.target)) == len(trial.expected)
        if whole or rng.random() < GO_ON or trial.seen["broken"] == times:
            trial.finish()


def stop(trial: Trial, times: int, rng: random.Random) -> None:
    """Ask runs to stop a number of times, by either signal."""
    slowest = 0.0
    while trial.seen["broken"] < times:
        process = subprocess.Popen(trial.command, stderr=subprocess.DEVNULL)
        wait_for_a_moment(trial, process, rng)
        number = rng.choice((signal.SIGINT, signal.SIGTERM))
        asked = time.perf_counter()
        process.send_signal(number)
        code = process.wait()
        seconds = time.perf_counter() - asked
        stopped = code != 0
        trial.seen["broken"] += stopped
        trial.seen["ended before the signal"] += not stopped
        if stopped:
            slowest = max(slowest, seconds)
            # before Python has its handlers a signal ends the process by itself
            trial.faults["exit code"] += code not in (128 + number, -number)
            trial.faults["slow to end"] += seconds > MOST_SECONDS
            trial.faults["temporary left"] += parts(trial.target)
        trial.look()
        journal = Journal(trial.target)
        records = [journal.find(trial.target / name) for name in hashes(trial.target)]
        known = [r is not None and journal.is_intact(r) for r in records]
        trial.faults["not in the journal"] += known.count(False)
        whole = len(known) == len(trial.expected)
        if whole or rng.random() < GO_ON or trial.seen["broken"] == times:
            trial.finish()
    trial.seen["slowest, ms"] = round(slowest * 1000)


def full_disk(trial: Trial, times: int, rng: random.Random) -> None:
    """Run on disks that are too small, then large enough."""
    disk = str(trial.disk)
    for _ in range(times):
        pages = rng.randint(1, max(1, trial.bytes // PAGE - 1))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", disk]
        subprocess.run(mount, check=True)
        try:
            done = trial.run()
            told = "no space left on device" in done.stderr
            trial.faults["exit code"] += done.returncode != 1 or not told
            trial.seen["broken"] += 1
            trial.look()
            trial.faults["temporary left"] += parts(trial.target)
            subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
            trial.finish()
        finally:
            subprocess.run(["umount", disk], check=True)


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("by", choices=("kill", "stop", "full-disk"))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--model", default="dpe-general")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name), arguments)
        by = {"kill": kill, "stop": stop, "full-disk": full_disk}[arguments.by]
        by(trial, arguments.times, random.Random(arguments.seed))
    print(json.dumps(vars(arguments) | trial.seen | {"faults": trial.faults}))  # noqa: T201
    sys.exit(any(trial.faults.values()))


if __name__ == "__main__":
    main()
