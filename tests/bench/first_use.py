"""Let many processes ask at once for weights that are not there yet.

    python tests/bench/first_use.py [--rounds 50] [--processes 16]

A server on this machine sends the weights slowly. Each round has an empty cache, and
must see one transfer, no failure, and one path for all. Prints one line of JSON; exits
with 1 where a round was otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from medenh.zoo.manifest import load_manifest

FETCH = """
import sys
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import read_card
print(weights_path(read_card(sys.stdin.read())))
"""
CONTENT = bytes(range(256)) * 12_000
DELAY_S = 0.3


class Site(ThreadingHTTPServer):
    """Sends one file and counts how often."""

    daemon_threads = True
    request_queue_size = 64
    transfers = 0
    lock = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    """The file, after a while."""

    server: Site

    def do_GET(self) -> None:
        """Send it."""
        with self.server.lock:
            self.server.transfers += 1
        time.sleep(DELAY_S)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def card_of(site: Site) -> bytes:
    """Return a model card whose weights the site has."""
    card = load_manifest().get("fast-fundus").to_dict()
    card["weights"] = {
        "file": "first-use-1.safetensors",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "urls": [f"http://127.0.0.1:{site.server_port}/first-use-1.safetensors"],
    }
    return json.dumps(card).encode()


def ask_at_once(card: bytes, processes: int, cache: Path) -> tuple[set[bytes], int]:
    """Return the answers, and how many processes failed."""
    environment = {**os.environ, "MEDENH_CACHE": str(cache)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for _ in range(processes)
    ]
    for child in children:  # all have started before any knows what to fetch
        assert child.stdin is not None
        child.stdin.write(card)
        child.stdin.close()
        child.stdin = None
    answers = {child.communicate()[0] for child in children}
    return answers, sum(child.returncode != 0 for child in children)


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--processes", type=int, default=16)
    arguments = parser.parse_args()
    site = Site(("127.0.0.1", 0), Answer)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    card = card_of(site)
    seen = {"transfers": 0, "failed processes": 0, "rounds with two answers": 0}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            answers, failed = ask_at_once(card, arguments.processes, Path(name))
        seen["failed processes"] += failed
        seen["rounds with two answers"] += len(answers) != 1
    seen["transfers"] = site.transfers
    right = {"transfers": arguments.rounds, "failed processes": 0}
    print(json.dumps(vars(arguments) | seen))  # noqa: T201
    sys.exit(seen != right | {"rounds with two answers": 0})


if __name__ == "__main__":
    main()
