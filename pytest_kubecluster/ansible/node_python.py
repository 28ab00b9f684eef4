"""The Python that Ansible and the checks need on nodes, and one to install on nodes without it."""

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
"""What reading a file raises if it is not an archive, or not a whole one."""


@dataclass(frozen=True)
class PythonTarball:
    """A tarball with a Python to install on nodes, and its checksum."""

    where: str = field(repr=False)
    """A path, or a URL, which may hold a password."""
    checksum: Checksum | None = None

    @property
    def is_remote(self) -> bool:
        """True if it must be downloaded."""
        return is_url(self.where)

    @property
    def identity(self) -> str:
        """A text that changes with the tarball: its path, size and time, or its checksum."""
        if self.checksum:
            return self.checksum.digest
        status = os.stat(self.where)
        return f"{self.where} {status.st_size} {status.st_mtime_ns}"

    def fetched(self, cache: Path, progress: Callable[[str], None]) -> PythonTarball:
        """Return the tarball as a file on this host, downloaded unless ``cache`` has it.

        A cached file is read and verified each time. Raises KubeClusterError if there is no
        verified Python to return.
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
    """Return the Python to install on nodes, or None if ``text`` is empty.

    ``text`` is the path of a tarball, relative to ``folder``, or a URL. Raises ValueError or
    KubeClusterError with what is wrong.
    """
    if not text:
        if checksum:
            raise ValueError("a checksum needs --kube-python, the file that it is for")
        return None
    if is_url(text):
        if not urlsplit(text).hostname:
            raise ValueError("the URL has no host")
        if checksum is None:
            raise ValueError("a download must be verified; add --kube-python-checksum=sha256:HEX")
        return PythonTarball(text, checksum)
    path = user_path(text, folder)
    if not path.is_file():
        raise ValueError(f"{text} is neither a file nor an http or https URL")
    if checksum:
        checksum.verify(path, text, _CHECK)
    _check_tarball(path, text)
    return PythonTarball(str(path), checksum)


def write_unpacker(tarball: Path, path: Path) -> None:
    """Write a shell script to ``path`` that unpacks the tarball, which it has behind its last line.

    The script needs gzip only, however the tarball is compressed. Raises KubeClusterError if the
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
    """Return the message for a node without a usable Python, with the way out.

    A run that ``provisions`` nothing cannot install one.
    """
    how = "" if provisions else " --kube-provision"
    return (
        f"{node} has no Python 3.9 or newer, which Ansible and the checks need\n"
        f"  install one with --kube-python=TARBALL{how}"
    )


def _check_tarball(path: Path, what: str) -> None:
    """Check that the file at ``path``, called ``what`` in errors, is a tarball with a Python."""
    try:
        with tarfile.open(path) as tar:
            if any(_IN_TARBALL.fullmatch(member.name) for member in tar):
                return
    except _DAMAGED:
        raise KubeClusterError(
            f"{what} is not a whole tarball (tar, plain or compressed with gzip, bzip2 or xz)\n"
            "  it may be a login page, or incomplete; get it again"
        ) from None
    raise KubeClusterError(
        f"{what} has no bin/python3 or bin/pypy3, neither at its top nor in a folder there\n"
        "  use a build that can be unpacked anywhere, such as python-build-standalone's "
        "install_only or PyPy"
    )
