"""The official kubelet of a version: downloaded once, verified, and cached for later runs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import elf_machine
from pytest_kubecluster.spec.control_plane import COMPONENTS
from pytest_kubecluster.spec.launcher import executable_name
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.cache import new_file, one_at_a_time, remove
from pytest_kubecluster.util.checksum import ALGORITHMS, Checksum
from pytest_kubecluster.util.http import PIECE, Body, Site, save

OFFICIAL = "https://dl.k8s.io/release"

_Say = Callable[[str], None]
_LARGEST = 1 << 30
"""Four times the size of the largest kubelet."""
_LARGEST_CHECKSUM = 1 << 14
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
"""The names of machines in upstream's releases, by their names in ``uname -m``."""


class _Mirror(Protocol):
    """A place that has releases."""

    @property
    def name(self) -> str:
        """The mirror's name in messages and in the cache, without credentials."""

    def open(self, path: str) -> AbstractContextManager[Body | None]:
        """Open the file at ``path``; yield None if it does not exist. Raises KubeClusterError."""


@dataclass(frozen=True)
class _Release:
    """One upstream release for this machine."""

    version: str
    architecture: str
    machine: str
    file: str

    @property
    def what(self) -> str:
        """What messages call it: a hyperkube is downloaded for what it has as a command."""
        program = self.file if self.file in COMPONENTS else "kubelet"
        return f"{program} {self.version}"

    @property
    def path(self) -> str:
        """The path of the executable on a mirror."""
        return f"{self.version}/bin/linux/{self.architecture}/{self.file}"


def download_kubelet(
    version: KubeVersion, *, mirror: str | None, cache: Path, progress: Callable[[str], None]
) -> Path:
    """Return the official kubelet of ``version`` for this machine, downloaded unless it is cached.

    It is a ``hyperkube`` up to 1.16 and a ``kubelet`` after. In place of a distributor's build,
    upstream's release of the same number is used. ``mirror`` is a URL or a folder with the layout
    of the official site, the default. A cached kubelet is found without contacting the mirror, and
    is read and verified each time, which takes a fraction of a second. Of several processes, one
    downloads. ``progress`` is called with a line now and then.

    Raises KubeClusterError if there is no verified kubelet to return, and leaves no part of one.
    """
    release = _release(version, executable_name(version))
    return _download(release, mirror, cache, progress)


def download_control_plane(
    version: KubeVersion, *, mirror: str | None, cache: Path, progress: Callable[[str], None]
) -> Mapping[str, Path]:
    """Return the official programs of a control plane by name, as ``download_kubelet`` does.

    Up to 1.16 it is one ``hyperkube``. Raises KubeClusterError.
    """
    hyperkube = executable_name(version)
    names = (hyperkube,) if hyperkube == "hyperkube" else COMPONENTS
    return {name: _download(_release(version, name), mirror, cache, progress) for name in names}


def _download(release: _Release, mirror: str | None, cache: Path, progress: _Say) -> Path:
    source = _mirror(mirror)
    shelf = _Shelf(cache / "kubelets" / release.version / release.architecture, release.file)
    # The cache may be read-only: the lock is taken only if something must be written.
    found, _ = shelf.find(source.name)
    if found is not None:
        return found
    with shelf.locked(lambda: progress(f"another run is downloading {release.what}")):
        found, broken = shelf.find(source.name)
        if found is not None:
            return found
        for path in broken:
            progress(f"{path} was damaged after it was downloaded; downloading it again")
        try:
            fetched = _fetch(release, source, shelf, progress)
        except KubeClusterError as error:
            if not broken:
                raise
            raise KubeClusterError(
                f"{broken[0]} was damaged after it was downloaded, "
                f"and cannot be downloaded again:\n{error}"
            ) from None
        for path in broken:
            if path != fetched:
                shutil.rmtree(path.parent, ignore_errors=True)
        return fetched


def _release(version: KubeVersion, file: str) -> _Release:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise KubeClusterError(
            f"there is no official release for this machine ({machine}), only for "
            f"{', '.join(_ARCHITECTURES)}\n  build one and give its path"
        )
    return _Release(f"v{version.number}", _ARCHITECTURES[machine], machine, file)


def _fetch(release: _Release, source: _Mirror, shelf: _Shelf, progress: _Say) -> Path:
    checksum = _published_checksum(release, source)
    kept = shelf.path(checksum)
    # The same bytes may have come from another mirror.
    if not shelf.holds(checksum):
        where, what = f"{source.name}/{release.path}", release.what
        with shelf.writing(kept) as temporary, source.open(release.path) as body:
            if body is None:
                raise _no_such_release(release, source)
            save(body, temporary, where, what=what, limit=_LARGEST, progress=progress)
            temporary.chmod(0o755)
            checksum.verify(temporary, where, "run again, or use another mirror")
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
    """Parse ``HEX`` or ``HEX  filename``."""
    length = hashlib.new(algorithm).digest_size * 2
    found = re.fullmatch(rb"\s*([0-9a-fA-F]{%d})([ \t]+[^\r\n]+)?\s*" % length, content)
    if found is None:
        start = content[:40].decode(errors="replace").strip()
        raise KubeClusterError(
            f"{where} is not a {algorithm} checksum: it begins with {start!r}\n"
            "  it may be a login page or a proxy's message; open the address in a browser, "
            "or use another mirror"
        )
    return found[1].decode().lower()


def _check_executable(path: Path, release: _Release, where: str) -> None:
    built_for = elf_machine(path)
    if built_for is None:
        with path.open("rb") as file:
            start = file.read(15)
        raise KubeClusterError(
            f"{where} is not an executable: it begins with {start!r}\n"
            "  it may be a login page or a proxy's message; open the address in a browser, "
            "or use another mirror"
        )
    if built_for != release.machine:
        raise KubeClusterError(
            f"{where} is built for {_ARCHITECTURES.get(built_for, built_for)}, "
            f"not for {release.architecture}\n"
            "  the mirror has it in the wrong place; use another mirror"
        )


def _no_such_release(release: _Release, source: _Mirror) -> KubeClusterError:
    return KubeClusterError(
        f"there is no {release.what} for {release.architecture}: "
        f"{source.name}/{release.path} was not found\n"
        "  that version may not exist; choose another, or a mirror that has it"
    )


@dataclass(frozen=True)
class _Shelf:
    """The cached kubelets of a version and architecture, each in a folder named by its digest."""

    folder: Path
    file: str

    def path(self, checksum: Checksum) -> Path:
        """Return the path of the kubelet with that checksum."""
        return self.folder / checksum.digest[:16] / self.file

    def find(self, mirror: str) -> tuple[Path | None, list[Path]]:
        """Return the whole kubelet that came from ``mirror``, and the damaged ones."""
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
        """Return whether the kubelet with that checksum is cached and complete."""
        try:
            return checksum.of(self.path(checksum)) == checksum.digest
        except OSError:
            return False

    def record(self, checksum: Checksum, mirror: str) -> None:
        """Write the checksum and the mirrors of a kubelet beside it."""
        path = self.path(checksum)
        record = path.with_name(f"{path.name}.json")
        known, mirrors = _read_record(record)
        mirrors = sorted({mirror, *(mirrors if known == checksum else [])})
        fields = {"algorithm": checksum.algorithm, "digest": checksum.digest, "mirrors": mirrors}
        write_atomically(record, json.dumps(fields, indent=1).encode(), 0o644)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Give a temporary path that becomes ``path`` at the end, or leaves no trace."""
        for left_by_kill in self.folder.glob(f"*/.{self.file}.*"):
            remove(left_by_kill)
        try:
            with new_file(path) as temporary:
                yield temporary
        finally:
            with suppress(OSError):
                path.parent.rmdir()

    def locked(self, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Let one process at a time download."""
        return one_at_a_time(self.folder.with_name(f"{self.folder.name}.lock"), on_wait)


def _read_record(path: Path) -> tuple[Checksum | None, list[str]]:
    """Return the checksum and the mirrors in a record; None and nothing if it is invalid."""
    try:
        fields = json.loads(path.read_text())
        algorithm, digest = str(fields["algorithm"]), str(fields["digest"])
        mirrors = [str(mirror) for mirror in fields["mirrors"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None, []
    if algorithm not in ALGORITHMS or not re.fullmatch("[0-9a-f]{40,128}", digest):
        return None, []
    return Checksum(algorithm, digest), mirrors


def _mirror(text: str | None) -> _Mirror:
    text = text or OFFICIAL
    base = text.rstrip("/")
    scheme, slashes, rest = text.partition("://")
    # A password may hold unescaped slashes: everything up to the last @ may be credentials.
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
    return Site(base, shown.rstrip("/"))


def _no_mirror(shown: str) -> KubeClusterError:
    return KubeClusterError(
        f"{shown} is not a mirror\n"
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
    def open(self, path: str) -> Iterator[Body | None]:
        if (self.root / path).is_fifo():
            # Opening it would block.
            raise KubeClusterError(
                f"{self.root / path} is a FIFO, not a file\n  use another mirror"
            )
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
            yield Body(os.fstat(file.fileno()).st_size, self._pieces(file.read, path))

    def _pieces(self, read: Callable[[int], bytes], path: str) -> Iterator[bytes]:
        while True:
            try:
                piece = read(PIECE)
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
