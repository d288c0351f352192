"""A weights file, a card for it, and a loopback server that can misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from medenh.zoo.card import ModelCard
from medenh.zoo.download import Network

IMPATIENT = Network(connect_s=2.0, stall_s=0.4, rounds=3, pause_s=0.01)


def safetensors_bytes(tensors: dict[str, bytes], seed: int = 0) -> bytes:
    """A safetensors file written by hand: float16 vectors."""
    header, position = {}, 0
    for name, raw in tensors.items():
        header[name] = {
            "dtype": "F16",
            "shape": [len(raw) // 2],
            "data_offsets": [position, position + len(raw)],
        }
        position += len(raw)
    text = json.dumps({"__metadata__": {"seed": str(seed)}, **header}).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(tensors.values())


def make_card(content: bytes, *urls: str, **changes: object) -> ModelCard:
    weights = {
        "file": "toy-fundus.safetensors",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "urls": list(urls),
    }
    entry = {
        "id": "toy-fundus",
        "version": "1",
        "title": "Toy",
        "description": "A network for tests.",
        "task": "enhance",
        "architecture": "dpe",
        "modalities": ["fundus"],
        "licence": "CC-BY-NC-SA-4.0",
        "data": [{"name": "none", "terms": "none", "images": 0}],
        "weights": weights,
        **changes,
    }
    return ModelCard.model_validate_json(json.dumps(entry))


@dataclass
class Site:
    """What the server has, how it misbehaves, and what it saw.

    `plan` is a list of behaviours, used up one a request; then "good".
    """

    content: bytes
    url: str = ""
    plan: list[str] = field(default_factory=list)
    requests: list[str | None] = field(default_factory=list)  # the Range headers
    paths: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    delay_s: float = 0.0


def handler_for(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with site.lock:
                act = site.plan.pop(0) if site.plan else "good"
                site.requests.append(self.headers.get("Range"))
                site.paths.append(self.path)
            self.close_connection = True
            verb, _, amount = act.partition(":")
            getattr(self, f"act_{verb}")(amount)

        def head(self, status: int, length: int | None, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Connection", "close")
            if length is not None:
                self.send_header("Content-Length", str(length))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def body(self, data: bytes) -> None:
            time.sleep(site.delay_s)
            self.wfile.write(data)
            with site.lock:
                site.bytes_sent += len(data)

        def start(self) -> int:
            asked = self.headers.get("Range")
            return int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0

        def begin(self) -> bytes:
            start, size = self.start(), len(site.content)
            if start:
                where = f"bytes {start}-{size - 1}/{size}"
                self.head(206, size - start, Content_Range=where)
            else:
                self.head(200, size)
            return site.content[start:]

        def act_good(self, _: str) -> None:
            self.body(self.begin())

        def act_cut(self, amount: str) -> None:
            self.body(self.begin()[: int(amount)])

        def act_norange(self, _: str) -> None:
            self.head(200, len(site.content))
            self.body(site.content)

        def act_elsewhere(self, _: str) -> None:
            size = len(site.content)
            self.head(206, size, Content_Range=f"bytes 0-{size - 1}/{size}")
            self.body(site.content)

        def act_corrupt(self, _: str) -> None:
            data = bytearray(self.begin())
            data[-1] ^= 1
            self.body(bytes(data))

        def act_cutcorrupt(self, amount: str) -> None:
            data = bytearray(self.begin()[: int(amount)])
            data[0] ^= 1
            self.body(bytes(data))

        def act_longer(self, _: str) -> None:
            self.head(200, len(site.content) + 5)
            self.body(site.content + b"extra")

        def act_endless(self, _: str) -> None:
            self.head(200, None)
            for _index in range(1000):
                self.body(site.content)

        def act_status(self, code: str) -> None:
            self.head(int(code), 4)
            self.body(b"oops")

        def act_portal(self, _: str) -> None:
            page = b"<html>please log in</html>"
            self.head(200, len(page), Content_Type="text/html")
            self.body(page)

        def act_drip(self, _: str) -> None:
            data = self.begin()
            for index in range(100):
                self.wfile.write(data[index : index + 1])
                self.wfile.flush()
                time.sleep(0.05)

        def act_silence(self, _: str) -> None:
            self.begin()
            time.sleep(3)

        def act_redirect(self, target: str) -> None:
            self.head(302, 0, Location=target)

    return Handler
