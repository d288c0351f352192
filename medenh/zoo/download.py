"""One HTTP transfer for pooch: resumed, bounded in size, never stuck.

pooch picks the private temporary file, checks the hash and publishes; `Downloader`
brings the bytes. It is written over the standard library because a slow drip has to be
noticed between two small reads, which `requests` does not offer.
"""

from __future__ import annotations

import errno
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from medenh import __version__
from medenh.errors import UsageError
from medenh.zoo.cache import sync

__all__ = ["Downloader", "Network", "TransferError"]

Progress = Callable[[int, int], None]
_CHUNK = 1 << 16
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MIN_RATE = 1024  # bytes a second: below it a connection counts as stalled


class TransferError(Exception):
    """A transfer did not end well; never seen outside the zoo.

    Attributes
    ----------
    lasting : bool
        True where asking the same server again cannot help.
    """

    def __init__(self, what: str, *, lasting: bool = False) -> None:
        super().__init__(what)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Network:
    """How patient a transfer is.

    Attributes
    ----------
    connect_s : float
        Time for a connection to stand.
    stall_s : float
        Time without enough bytes after which a connection is given up.
    rounds : int
        How often the list of addresses is gone through.
    pause_s : float
        Pause between two rounds; doubled each time.
    """

    connect_s: float = 10.0
    stall_s: float = 30.0
    rounds: int = 3
    pause_s: float = 0.5

    @classmethod
    def from_environment(cls) -> Network:
        """Return the defaults, with ``MEDENH_STALL_TIMEOUT`` (seconds) if it is set.

        Raises
        ------
        UsageError
            The variable is not a positive number.
        """
        text = os.environ.get("MEDENH_STALL_TIMEOUT")
        if not text:
            return cls()
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds <= 86400.0:
            raise UsageError(f"MEDENH_STALL_TIMEOUT={text!r} is no number of seconds")
        return cls(stall_s=seconds)


@dataclass(frozen=True, slots=True)
class Downloader:
    """Bring one file; called by pooch with the temporary file to fill.

    Attributes
    ----------
    part : path
        Keeps what arrived when a transfer is cut, for the next one to go on from.
    size_bytes : int
        Size the file must have; a server that promises another is not listened to.
    network : Network
        Patience.
    progress : callable or None
        Told (bytes so far, bytes in all).
    """

    part: Path
    size_bytes: int
    network: Network
    progress: Progress | None = None

    def __call__(self, url: str, output_file: str | Path, pooch: Any) -> None:
        """Fill ``output_file`` from ``url``.

        Raises
        ------
        TransferError
            The whole file did not arrive. What did is kept in `part`.
        OSError
            There is no room for it here.
        """
        try:
            with self._open(url) as source:
                self._receive(source)
        except urllib.error.HTTPError as error:
            error.close()
            lasting = error.code < 500 and error.code not in (408, 416, 429)
            if error.code == 416:  # what we hold is no beginning of that file
                self.part.unlink(missing_ok=True)
            what = f"HTTP {error.code}"
            if 300 <= error.code < 400:
                what += ", a redirect that is not followed"
            raise TransferError(what, lasting=lasting) from error
        except TimeoutError as error:
            raise TransferError("no answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in _NO_ROOM:
                raise
            reason = getattr(error, "reason", None) or error
            name = type(error).__name__
            raise TransferError(f"{reason}" if str(reason) else name) from error
        if self.held() != self.size_bytes:
            raise TransferError(f"cut after {self.held()} of {self.size_bytes} bytes")
        sync(self.part)
        self.part.replace(output_file)

    def held(self) -> int:
        """Return how many bytes an earlier transfer left."""
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    def _open(self, url: str) -> IO[bytes]:
        if self.held() >= self.size_bytes:
            self.part.unlink()
        parts = urlsplit(url)
        if parts.scheme == "file":
            self.part.unlink(missing_ok=True)
            return _open_local(url)
        request = urllib.request.Request(
            url,
            headers={
                "User-Agent": f"medenh/{__version__}",
                "Accept-Encoding": "identity",
            },
        )
        if self.held():
            request.add_header("Range", f"bytes={self.held()}-")
        response = _opener(self.network).open(request, timeout=self.network.connect_s)
        try:
            self._settle(response)
        except BaseException:
            response.close()
            raise
        return response  # type: ignore[no-any-return]

    def _settle(self, response: Any) -> None:
        """Decide by the answer's header whether to go on, start over, or refuse."""
        held, headers = self.held(), response.headers
        if held and response.status == 206:
            promise = f"bytes {held}-{self.size_bytes - 1}/{self.size_bytes}"
            if headers.get("Content-Range", "").strip() == promise:
                return
            self.part.unlink()
            raise TransferError("the server resumed at another place")
        self.part.unlink(missing_ok=True)
        length = headers.get("Content-Length")
        if length is not None and length.strip() != str(self.size_bytes):
            kind = headers.get_content_type()
            raise TransferError(
                f"the server offers {length} bytes of {kind}, not {self.size_bytes}",
                lasting=True,
            )

    def _receive(self, source: IO[bytes]) -> None:
        read = getattr(source, "read1", source.read)
        window_start, window_bytes = time.monotonic(), 0
        with self.part.open("ab") as file:
            total = file.tell()
            while chunk := read(_CHUNK):
                total += len(chunk)
                if total > self.size_bytes:
                    break
                file.write(chunk)
                if self.progress is not None:
                    self.progress(total, self.size_bytes)
                window_bytes += len(chunk)
                elapsed = time.monotonic() - window_start
                if elapsed >= self.network.stall_s:
                    if window_bytes < _MIN_RATE * elapsed:
                        raise TransferError("too slow: the connection has stalled")
                    window_start, window_bytes = time.monotonic(), 0
        if total > self.size_bytes:
            self.part.unlink()
            raise TransferError(
                f"more than {self.size_bytes} bytes arrived", lasting=True
            )


def _open_local(url: str) -> IO[bytes]:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise TransferError("file: addresses name files of this machine", lasting=True)
    return Path(url2pathname(parts.path)).open("rb")


class _SameKindOfRedirect(urllib.request.HTTPRedirectHandler):
    """Follow to http and https only, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,  # type: ignore[override]
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type, scheme) == ("https", "http"):
            raise TransferError(f"redirected to {scheme}:, refused", lasting=True)
        return super().redirect_request(
            req,
            fp,
            code,
            msg,
            headers,  # type: ignore[arg-type]
            newurl,
        )


class _HTTPConnection(http.client.HTTPConnection):
    """Impatient while connecting, patient while reading."""

    def __init__(self, *args: Any, stall_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stall_s = stall_s

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.stall_s)


class _HTTPSConnection(_HTTPConnection, http.client.HTTPSConnection):
    pass


class _HTTPHandler(urllib.request.HTTPHandler):
    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self.connection = partial(_HTTPConnection, stall_s=stall_s)

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self.connection, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self.connection = partial(
            _HTTPSConnection, stall_s=stall_s, context=_tls_context()
        )

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self.connection, req)


def _tls_context() -> ssl.SSLContext:
    """Trust the system, and certifi: some Python builds come without roots.

    ``SSL_CERT_FILE`` and, as for other Python tools, ``REQUESTS_CA_BUNDLE`` add more.
    """
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    extra = os.environ.get("REQUESTS_CA_BUNDLE")
    if extra and Path(extra).is_file():
        context.load_verify_locations(extra)
    return context


def _opener(network: Network) -> urllib.request.OpenerDirector:
    """Return an opener that knows http, https, proxies and redirects; nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SameKindOfRedirect(),
        _HTTPHandler(network.stall_s),
        _HTTPSHandler(network.stall_s),
    ):
        opener.add_handler(handler)
    return opener
