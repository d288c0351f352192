"""Fixtures of the zoo's tests; what they are made of is in zoo_site.py."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from zoo_site import Site, handler_for, safetensors_bytes


@pytest.fixture
def content() -> bytes:
    return safetensors_bytes({"weight": bytes(range(64)) * 2000})


@pytest.fixture
def site(content):
    site = Site(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(site))
    server.handle_error = lambda *args: None  # clients of these tests hang up early
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MEDENH_CACHE", str(folder))
    for name in ("MEDENH_MANIFEST", "MEDENH_WEIGHTS_URL", "MEDENH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder
