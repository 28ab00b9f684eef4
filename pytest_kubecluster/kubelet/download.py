"""The official kubelet of a version: fetched once, verified, and kept for all runs after."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock, Timeout

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.elf import elf_machine
from pytest_kubecluster.spec.launcher import executable_name
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.checksum import ALGORITHMS, Checksum

OFFICIAL = "https://dl.k8s.io/release"

_Say = Callable[[str], None]
_CONNECT_SECONDS = 15.0
_READ_SECONDS = 30.0
"""How long a server may be silent."""
_STALL_SECONDS = 60.0
_STALL_BYTES = 60_000
"""What must come in that time, so that a server that sends a byte now and then is given up."""
_WAIT_SECONDS = 3600.0
"""How long another run's download is waited for; it gives up long before if nothing comes."""
_PROGRESS_SECONDS = 1.0
_PIECE = 1 << 18
_LARGEST_CHECKSUM = 1 << 14
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
"""Upstream's name of a machine."""


@dataclass
class _Body:
    """A file on its way: how long it will be, if that is known, and its bytes as they come."""

    size: int | None
    pieces: Iterator[bytes]


class _Mirror(Protocol):
    """Where releases are."""

    @property
    def name(self) -> str:
        """What it is called in messages and in the cache: without credentials."""

    def open(self, path: str) -> AbstractContextManager[_Body | None]:
        """Open the file at ``path``; None if there is none. Raises KubeClusterError."""


@dataclass(frozen=True)
class _Release:
    """One upstream release for this machine."""

    version: str
    architecture: str
    machine: str
    file: str

    @property
    def path(self) -> str:
        """Where the executable is on a mirror."""
        return f"{self.version}/bin/linux/{self.architecture}/{self.file}"


def download_kubelet(
    version: KubeVersion, *, mirror: str | None, cache: Path, progress: Callable[[str], None]
) -> Path:
    """Return the official kubelet of ``version`` for this machine, fetched if ``cache`` has none.

    It is a ``hyperkube`` up to 1.16 and a ``kubelet`` after. A distributor's build is no upstream
    release: upstream's file of the same number stands for it. ``mirror`` is a URL or a folder with
    the layout of the official site, which is used where it is None. What is kept is found without
    asking the mirror, and is read whole and verified each time: a fraction of a second. Several
    processes may ask at once; one of them fetches. ``progress`` is given a line now and then.

    Raises KubeClusterError where no verified kubelet can be had, and leaves no part of one.
    """
    release = _release(version)
    source = _mirror(mirror)
    shelf = _Shelf(cache / "kubelets" / release.version / release.architecture, release.file)
    # A cache that is whole may be read-only, so that no lock is asked for before it is needed.
    found, _ = shelf.find(source.name)
    if found is not None:
        return found
    with shelf.locked(lambda: progress(f"another run is downloading kubelet {release.version}")):
        found, broken = shelf.find(source.name)
        if found is not None:
            return found
        for path in broken:
            progress(f"{path} was damaged since it was downloaded; fetching it anew")
        try:
            fetched = _fetch(release, source, shelf, progress)
        except KubeClusterError as error:
            if not broken:
                raise
            raise KubeClusterError(
                f"{broken[0]} was damaged since it was downloaded, "
                f"and cannot be fetched anew:\n{error}"
            ) from None
        for path in broken:
            if path != fetched:
                shutil.rmtree(path.parent, ignore_errors=True)
        return fetched


def _release(version: KubeVersion) -> _Release:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise KubeClusterError(
            f"there is no official kubelet for this machine ({machine}), only for "
            f"{', '.join(_ARCHITECTURES)}\n  build one and give its path"
        )
    return _Release(
        f"v{version.number}", _ARCHITECTURES[machine], machine, executable_name(version)
    )


def download(url: str, to: Path, *, what: str, progress: Callable[[str], None]) -> None:
    """Fetch the file behind ``url`` to the path ``to``; ``what`` it is stands in ``progress``.

    Raises KubeClusterError where it is not there, or does not come whole.
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    site = _Site(f"{scheme}://{host}", f"{scheme}://{host.rpartition('@')[2]}")
    with site.open(path) as body:
        if body is None:
            raise _failed(site.place(path), "it is not there")
        _save(body, to, what, progress)


def _fetch(release: _Release, source: _Mirror, shelf: _Shelf, progress: _Say) -> Path:
    checksum = _published_checksum(release, source)
    kept = shelf.path(checksum)
    # Another mirror may have brought the same bytes before.
    if not shelf.holds(checksum):
        where = f"{source.name}/{release.path}"
        with shelf.writing(kept) as temporary, source.open(release.path) as body:
            if body is None:
                raise _no_such_release(release, source)
            _save(body, temporary, f"kubelet {release.version}", progress)
            temporary.chmod(0o755)
            checksum.verify(temporary, where, "run again, and if it stays so, use another mirror")
            _check_executable(temporary, release, where)
    shelf.record(checksum, source.name)
    return kept


def _published_checksum(release: _Release, source: _Mirror) -> Checksum:
    for algorithm in ALGORITHMS:
        path = f"{release.path}.{algorithm}"
        with source.open(path) as body:
            if body is None:
                continue
            content = bytearray()
            for piece in body.pieces:
                content += piece
                if len(content) > _LARGEST_CHECKSUM:
                    break
        return Checksum(algorithm, _digest(bytes(content), algorithm, f"{source.name}/{path}"))
    with source.open(release.path) as body:
        if body is None:
            raise _no_such_release(release, source)
    raise KubeClusterError(
        f"{source.name}/{release.path} cannot be verified: no checksum is published beside it "
        f"(looked for .{', .'.join(ALGORITHMS)})\n"
        "  put its checksum there, or use a mirror that has one"
    )


def _digest(content: bytes, algorithm: str, where: str) -> str:
    """Read ``HEX`` or ``HEX  filename``."""
    length = hashlib.new(algorithm).digest_size * 2
    found = re.fullmatch(rb"\s*([0-9a-fA-F]{%d})([ \t]+[^\r\n]+)?\s*" % length, content)
    if found is None:
        start = content[:40].decode(errors="replace").strip()
        raise KubeClusterError(
            f"{where} is no {algorithm} checksum: it begins with {start!r}\n"
            "  a login page or a proxy's message may stand in its place; open the address, "
            "or use another mirror"
        )
    return found[1].decode().lower()


def _save(body: _Body, path: Path, what: str, progress: _Say) -> None:
    """Write what comes to ``path``, and say how far it is."""
    came, said = 0, float("-inf")
    with path.open("wb") as file:
        for piece in body.pieces:
            if time.monotonic() - said >= _PROGRESS_SECONDS:
                said = time.monotonic()
                progress(f"downloading {what}: {_megabytes(came, body.size)}")
            file.write(piece)
            came += len(piece)
        file.flush()
        os.fsync(file.fileno())
    progress(f"downloaded {what}: {_megabytes(came, None)}")


def _megabytes(came: int, size: int | None) -> str:
    return f"{came / 1e6:.0f} of {size / 1e6:.0f} MB" if size else f"{came / 1e6:.0f} MB"


def _check_executable(path: Path, release: _Release, where: str) -> None:
    built_for = elf_machine(path)
    if built_for is None:
        with path.open("rb") as file:
            start = file.read(15)
        raise KubeClusterError(
            f"{where} is no executable: it begins with {start!r}\n"
            "  a login page or a proxy's message may stand in its place; open the address, "
            "or use another mirror"
        )
    if built_for != release.machine:
        raise KubeClusterError(
            f"{where} is built for {_ARCHITECTURES.get(built_for, built_for)}, "
            f"not for {release.architecture}\n  the mirror has it in the wrong place; use another"
        )


def _no_such_release(release: _Release, source: _Mirror) -> KubeClusterError:
    return KubeClusterError(
        f"there is no kubelet {release.version} for {release.architecture}: "
        f"{source.name}/{release.path} was not found\n"
        "  that version may not exist; choose another, or a mirror that has it"
    )


@dataclass(frozen=True)
class _Shelf:
    """The kept kubelets of one version and architecture, each in a folder named by its digest."""

    folder: Path
    file: str

    def path(self, checksum: Checksum) -> Path:
        """Where the kubelet with that checksum is kept."""
        return self.folder / checksum.digest[:16] / self.file

    def find(self, mirror: str) -> tuple[Path | None, list[Path]]:
        """Return the kept kubelet that came from ``mirror``, and those that were damaged since."""
        broken: list[Path] = []
        for record in sorted(self.folder.glob(f"*/{self.file}.json")):
            checksum, mirrors = _read_record(record)
            if checksum is None or mirror not in mirrors:
                continue
            if self.holds(checksum):
                return self.path(checksum), broken
            broken.append(self.path(checksum))
        return None, broken

    def holds(self, checksum: Checksum) -> bool:
        """Whether the kubelet with that checksum is here and whole."""
        try:
            return checksum.of(self.path(checksum)) == checksum.digest
        except OSError:
            return False

    def record(self, checksum: Checksum, mirror: str) -> None:
        """Note beside the kubelet what it must be and where it is from."""
        path = self.path(checksum)
        record = path.with_name(f"{path.name}.json")
        known, mirrors = _read_record(record)
        mirrors = sorted({mirror, *(mirrors if known == checksum else [])})
        fields = {"algorithm": checksum.algorithm, "digest": checksum.digest, "mirrors": mirrors}
        write_atomically(record, json.dumps(fields, indent=1).encode(), 0o644)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Give a temporary file's path that becomes ``path`` in the end, or leaves no trace."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left_by_kill in self.folder.glob(f"*/.{self.file}.*"):
                left_by_kill.unlink(missing_ok=True)
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
                path.parent.rmdir()

    @contextmanager
    def locked(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Let one process at a time fetch; the system frees the lock of one that died."""
        path = self.folder.with_name(f"{self.folder.name}.lock")
        lock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait()
                lock.acquire(timeout=_WAIT_SECONDS)
        except Timeout:
            raise KubeClusterError(
                f"{path} has been held by another run for {_WAIT_SECONDS:g} s\n"
                "  wait for its download or end it, and run again"
            ) from None
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            yield
        finally:
            lock.release()


def _read_record(path: Path) -> tuple[Checksum | None, list[str]]:
    """Return what a record says; None and nothing if that cannot be read."""
    try:
        fields = json.loads(path.read_text())
        algorithm, digest = str(fields["algorithm"]), str(fields["digest"])
        mirrors = [str(mirror) for mirror in fields["mirrors"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None, []
    if algorithm not in ALGORITHMS or not re.fullmatch("[0-9a-f]{40,128}", digest):
        return None, []
    return Checksum(algorithm, digest), mirrors


def _unwritable(path: Path, error: OSError) -> KubeClusterError:
    return KubeClusterError(
        f"{path} cannot be written: {error.strerror or error}\n"
        "  make room or make the folder writable, and run again"
    )


def _mirror(text: str | None) -> _Mirror:
    text = text or OFFICIAL
    base = text.rstrip("/")
    scheme, slashes, rest = text.partition("://")
    # A password may hold unescaped slashes: all up to the last @ is taken for credentials.
    shown = scheme + slashes + rest.rpartition("@")[2].partition("?")[0]
    if not slashes:
        return _Folder(Path(text).expanduser().absolute())
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    else:
        usable = usable and not parts.query and not parts.fragment
    if not usable:
        raise _no_mirror(shown)
    return _Site(base, shown.rstrip("/"))


def _no_mirror(shown: str) -> KubeClusterError:
    return KubeClusterError(
        f"{shown} is no mirror\n"
        f"  give a folder, or a URL with http or https and a host, laid out as {OFFICIAL}; "
        "in a password, write characters such as / percent-encoded"
    )


@dataclass(frozen=True)
class _Folder:
    """A mirror on this host."""

    root: Path

    @property
    def name(self) -> str:
        return str(self.root)

    @contextmanager
    def open(self, path: str) -> Iterator[_Body | None]:
        try:
            file = (self.root / path).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            if not self.root.is_dir():
                # It may be a URL without its scheme, but with credentials.
                raise _no_mirror(str(self.root).rpartition("@")[2]) from None
            yield None
            return
        except OSError as error:
            raise self._unreadable(path, error) from error
        with file:
            yield _Body(os.fstat(file.fileno()).st_size, self._pieces(file.read, path))

    def _pieces(self, read: Callable[[int], bytes], path: str) -> Iterator[bytes]:
        while True:
            try:
                piece = read(_PIECE)
            except OSError as error:
                raise self._unreadable(path, error) from error
            if not piece:
                return
            yield piece

    def _unreadable(self, path: str, error: OSError) -> KubeClusterError:
        return KubeClusterError(
            f"{self.root / path} cannot be read: {error.strerror}\n"
            "  make it readable, or use another mirror"
        )


@dataclass(frozen=True)
class _Site:
    """A mirror behind HTTP."""

    base: str = field(repr=False)
    name: str

    def place(self, path: str) -> str:
        """What a file there is called in messages: without what a query may have of secrets."""
        return f"{self.name}/{path.partition('?')[0]}"

    @contextmanager
    def open(self, path: str) -> Iterator[_Body | None]:
        where = self.place(path)
        with requests.Session() as session:
            try:
                # Bytes as they are stored: they are counted and verified.
                response = session.get(
                    f"{self.base}/{path}",
                    stream=True,
                    timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    headers={"Accept-Encoding": "identity"},
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _failed(where, _reason(error)) from None
            with response:
                if response.status_code in (404, 410):
                    yield None
                    return
                if response.status_code != 200:
                    status = f"{response.status_code} {response.reason or ''}".strip()
                    raise _failed(where, f"the server answered {status}")
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isascii() and length.isdigit() else None
                yield _Body(size, _pieces(response.raw, size, where))


def _pieces(raw: urllib3.HTTPResponse, size: int | None, where: str) -> Iterator[bytes]:
    came = recent = 0
    since = time.monotonic()
    while True:
        try:
            # Unlike read, read1 returns what there is, so that a trickle is seen as one.
            piece = raw.read1(_PIECE, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            expected = f" of {size}" if size is not None else ""
            raise _failed(
                where, f"{_reason(error)}, after {came}{expected} bytes had come"
            ) from None
        if not piece:
            return
        came += len(piece)
        recent += len(piece)
        yield piece
        if (seconds := time.monotonic() - since) >= _STALL_SECONDS:
            if recent < _STALL_BYTES:
                raise _failed(where, f"no more than {recent} bytes came within {seconds:.0f} s")
            since, recent = time.monotonic(), 0


def _failed(where: str, why: str) -> KubeClusterError:
    return KubeClusterError(
        f"{where} cannot be downloaded: {why}\n"
        "  check the network and the proxy settings and run again, or have it come from elsewhere"
    )


def _reason(error: BaseException) -> str:
    """Say what was in the way, in words of its own: those of libraries may hold credentials."""
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
