"""The Python of nodes, which Ansible and the checks need, and one to bring to those without."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.checksum import Checksum
from pytest_kubecluster.util.paths import is_url, user_path
from pytest_kubecluster.util.resources import provisioning

_LARGEST = 1 << 30
_CHECK = "check --kube-python-checksum, or get it again"
_IN_TARBALL = re.compile(r"(\./)?([^/]+/)?bin/(python3|pypy3)")
_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading an archive raises where it is none, or not whole."""


@dataclass(frozen=True)
class PythonTarball:
    """A Python to bring to nodes, in a tarball: where it is, and what its bytes must be."""

    where: str = field(repr=False)
    """A path, or a URL, which may hold a password."""
    checksum: Checksum | None = None

    @property
    def is_remote(self) -> bool:
        """Whether it is still to be fetched."""
        return is_url(self.where)

    @property
    def identity(self) -> str:
        """What tells it from another, as far as that is known without reading it."""
        if self.checksum:
            return self.checksum.digest
        status = os.stat(self.where)
        return f"{self.where} {status.st_size} {status.st_mtime_ns}"

    def fetched(self, cache: Path, progress: Callable[[str], None]) -> PythonTarball:
        """Return it as a file here: itself, or the one that ``cache`` has, fetched if need be.

        What is kept is read whole and verified each time. Raises KubeClusterError where no
        verified Python can be had.
        """
        if not self.is_remote:
            return self
        assert self.checksum is not None
        # Imported here: where nothing is downloaded, an HTTP client need not be loaded.
        from pytest_kubecluster.util.cache import new_file, one_at_a_time
        from pytest_kubecluster.util.http import download

        what = "Python for the nodes"
        kept = cache / "pythons" / self.checksum.digest
        lock = kept.with_suffix(".lock")
        with one_at_a_time(lock, lambda: progress(f"another run is downloading {what}")):
            if not kept.exists() or self.checksum.of(kept) != self.checksum.digest:
                with new_file(kept) as fresh:
                    download(self.where, fresh, what=what, limit=_LARGEST, progress=progress)
                    self.checksum.verify(fresh, "the downloaded file", _CHECK)
                    _check_tarball(fresh, "the downloaded file")
        return PythonTarball(str(kept), self.checksum)


def python_tarball(text: str, checksum: Checksum | None, folder: Path) -> PythonTarball | None:
    """Return the Python to bring to nodes; None where none is asked for.

    ``text`` is the path of a tarball (relative to ``folder``) or a URL, and ``checksum`` what its
    bytes must be. Raises ValueError or KubeClusterError saying what is wrong.
    """
    if not text:
        if checksum:
            raise ValueError("a checksum says nothing without what it is of: --kube-python")
        return None
    if is_url(text):
        if not urlsplit(text).hostname:
            raise ValueError("the URL has no host")
        if checksum is None:
            raise ValueError(
                "what comes from a URL must be verified; add --kube-python-checksum=sha256:HEX"
            )
        return PythonTarball(text, checksum)
    path = user_path(text, folder)
    if not path.is_file():
        raise ValueError(f"{text} is no file there is, and no http or https URL")
    if checksum:
        checksum.verify(path, text, _CHECK)
    _check_tarball(path, text)
    return PythonTarball(str(path), checksum)


def write_unpacker(tarball: Path, path: Path) -> None:
    """Write a shell script to ``path`` that has the tarball behind it and unpacks it where it runs.

    Whatever a tarball is packed with, its script needs gzip only. Raises KubeClusterError where the
    tarball cannot be read.
    """
    script = provisioning() / "roles" / "python" / "files" / "unpack"
    fresh = path.with_name(f".{path.name}")
    try:
        with tarball.open("rb") as file, fresh.open("wb") as out:
            out.write(script.read_bytes())
            start = file.read(8)
            file.seek(0)
            if start.startswith(_GZIP):
                shutil.copyfileobj(file, out)
            else:
                plain: IO[bytes] = file
                if start.startswith((_BZIP2, _XZ)):
                    plain = (bz2 if start.startswith(_BZIP2) else lzma).open(file)
                with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
                    shutil.copyfileobj(plain, packed)
        fresh.replace(path)
    except _DAMAGED as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise KubeClusterError(f"{tarball} cannot be read: {error}\n  get it again") from None


def no_python(node: str, *, provisions: bool = True) -> str:
    """Return the message for a node that has no Python of use; one could be brought to it.

    Not in a run that ``provisions`` nothing.
    """
    how = "" if provisions else " --kube-provision"
    return (
        f"{node} has no Python that Ansible and the checks can use, 3.9 or newer\n"
        f"  bring one along with --kube-python=TARBALL{how}"
    )


def _check_tarball(path: Path, what: str) -> None:
    """Check that the file at ``path`` is a tarball that has a Python."""
    try:
        with tarfile.open(path) as tar:
            if any(_IN_TARBALL.fullmatch(member.name) for member in tar):
                return
    except _DAMAGED:
        raise KubeClusterError(
            f"{what} is no tarball (tar, packed with gzip, bzip2, xz or not at all)\n"
            "  a login page may stand in its place, or a part is missing; get it again"
        ) from None
    raise KubeClusterError(
        f"{what} has no bin/python3 or bin/pypy3, at its top or in a folder there\n"
        "  take a build that can be unpacked anywhere, such as python-build-standalone's "
        "install_only or PyPy"
    )
