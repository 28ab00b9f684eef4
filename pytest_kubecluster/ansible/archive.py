"""The archive that Ansible unpacks on a node: files and links with their owners and modes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pytest_kubecluster.util.atomic import write_atomically

_MODIFIED = 1515766621
"""The modification time of every file, 12 January 2018, the article's date.

Ansible compares it, as it compares contents: any other constant would do.
"""


@dataclass(frozen=True)
class Member:
    """A file, a link, or, without content and target, a directory."""

    path: str
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"
    content: bytes | None = field(default=None, repr=False)
    target: str = ""


def write_archive(path: Path, members: Iterable[Member]) -> None:
    """Write ``members`` to a tar archive that only its owner can read.

    The same members always give the same bytes. Raises KubeClusterError where it cannot be written.
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for member in members:
            info = tarfile.TarInfo(str(PurePosixPath(member.path).relative_to("/")))
            info.mode, info.mtime = member.mode, _MODIFIED
            info.uname, info.gname = member.owner, member.group
            if member.content is not None:
                info.size = len(member.content)
            elif member.target:
                info.type, info.linkname = tarfile.SYMTYPE, member.target
            else:
                info.type = tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(member.content or b""))
    write_atomically(path, buffer.getvalue(), 0o600)
