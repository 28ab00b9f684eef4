"""Downloads files: bounded in time and size, retried, and without secrets in any message."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter

from pytest_kubecluster.errors import KubeClusterError

_CONNECT_SECONDS = 15.0
_READ_SECONDS = 30.0
"""How long a server may be silent."""
_STALL_SECONDS = 60.0
_STALL_BYTES = 60_000
"""What must come in that time, so that a server that sends a byte now and then is given up."""
_RETRIES = urllib3.Retry(
    total=2,
    # What was read in part is not read again: the reader would get its beginning twice.
    read=False,
    status_forcelist=(429, 500, 502, 503, 504),
    backoff_factor=0.3,
    raise_on_status=False,
    respect_retry_after_header=False,
)
_PROGRESS_SECONDS = 1.0
PIECE = 1 << 18


@dataclass
class Body:
    """A file that is downloaded: its size, if that is known, and its bytes as they come."""

    size: int | None
    pieces: Iterator[bytes]


@dataclass(frozen=True)
class Site:
    """A web server, or a folder there: ``base`` may hold credentials, ``name`` does not."""

    base: str = field(repr=False)
    name: str

    def place(self, path: str) -> str:
        """Return what messages call a file there: a query, which may hold secrets, is left out."""
        return f"{self.name}/{path.partition('?')[0]}"

    @contextmanager
    def open(self, path: str) -> Iterator[Body | None]:
        """Request the file at ``path``; yield None if it is missing. Raises KubeClusterError."""
        where = self.place(path)
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
            try:
                # Bytes as they are stored: they are counted and verified.
                response = session.get(
                    f"{self.base}/{path}",
                    stream=True,
                    timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    headers={"Accept-Encoding": "identity"},
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise failed(where, _reason(error)) from None
            with response:
                if response.status_code in (404, 410):
                    yield None
                    return
                if response.status_code != 200:
                    status = f"{response.status_code} {response.reason or ''}".strip()
                    raise failed(where, f"the server answered {status}")
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isascii() and length.isdigit() else None
                yield Body(size, _pieces(response.raw, size, where))


def _pieces(raw: urllib3.HTTPResponse, size: int | None, where: str) -> Iterator[bytes]:
    came = recent = 0
    since = time.monotonic()
    while True:
        try:
            # Unlike read, read1 returns what there is, so that a trickle is seen as one.
            piece = raw.read1(PIECE, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            expected = f" of {size}" if size is not None else ""
            raise failed(
                where, f"{_reason(error)}, after {came}{expected} bytes had come"
            ) from None
        if not piece:
            return
        came += len(piece)
        recent += len(piece)
        yield piece
        if (seconds := time.monotonic() - since) >= _STALL_SECONDS:
            if recent < _STALL_BYTES:
                raise failed(where, f"no more than {recent} bytes came within {seconds:.0f} s")
            since, recent = time.monotonic(), 0


def failed(where: str, why: str) -> KubeClusterError:
    """Return the error for a download from ``where`` that failed."""
    return KubeClusterError(
        f"{where} cannot be downloaded: {why}\n"
        "  check the network and the proxy settings and run again, or use another source"
    )


def _reason(error: BaseException) -> str:
    """Return the reason in our own words: messages of libraries may hold credentials."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    proxy = any(isinstance(link, requests.exceptions.ProxyError) for link in chain)
    by = "the proxy" if proxy else "the server"
    for link in chain:
        match link:
            case requests.TooManyRedirects():
                return "it is redirected in circles"
            case socket.gaierror():
                return f"the name of {by} cannot be resolved ({link.strerror})"
            case ConnectionRefusedError():
                return f"{by} refuses connections"
            case requests.ConnectTimeout():
                return f"{by} cannot be reached within {_CONNECT_SECONDS:g} s"
            case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
                return f"{by} was silent for {_READ_SECONDS:g} s"
            case http.client.IncompleteRead():
                return "it was cut off"
            case _:
                pass
    root = chain[-1]
    if isinstance(root, OSError) and root.strerror:
        return f"{root.strerror} ({by})"
    return f"{by} does not speak HTTP as expected ({type(root).__name__})"


def download(url: str, to: Path, *, what: str, limit: int, progress: Callable[[str], None]) -> None:
    """Download ``url``, which may be ``limit`` bytes long, to the path ``to``.

    Lines for ``progress`` call it ``what``. Raises KubeClusterError if it is not there, too long,
    or does not come whole.
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    site = Site(f"{scheme}://{host}", f"{scheme}://{host.rpartition('@')[2]}")
    with site.open(path) as body:
        if body is None:
            raise failed(site.place(path), "there is no such file")
        save(body, to, site.place(path), what=what, limit=limit, progress=progress)


def save(
    body: Body,
    path: Path,
    where: str,
    *,
    what: str,
    limit: int,
    progress: Callable[[str], None],
) -> None:
    """Write a body to ``path``, and report how far it is.

    Raises KubeClusterError for what comes from ``where`` if it is longer than ``limit`` bytes.
    """
    if body.size is not None and body.size > limit:
        raise _too_long(where, body.size, limit)
    came, said = 0, float("-inf")
    with path.open("wb") as file:
        for piece in body.pieces:
            if time.monotonic() - said >= _PROGRESS_SECONDS:
                said = time.monotonic()
                progress(f"downloading {what}: {_megabytes(came, body.size)}")
            file.write(piece)
            came += len(piece)
            if came > limit:
                raise _too_long(where, came, limit)
        file.flush()
        os.fsync(file.fileno())
    progress(f"downloaded {what}: {_megabytes(came, None)}")


def _too_long(where: str, size: int, limit: int) -> KubeClusterError:
    return failed(
        where, f"it has {size / 1e6:.0f} MB or more, and {limit / 1e6:.0f} MB are allowed"
    )


def _megabytes(came: int, size: int | None) -> str:
    return f"{came / 1e6:.0f} of {size / 1e6:.0f} MB" if size else f"{came / 1e6:.0f} MB"
