"""Which box virtual machines boot from, where it is not our own."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_kubecluster.checksum import ALGORITHMS, Checksum
from pytest_kubecluster.errors import KubeClusterError

_KNOWN = ", ".join(ALGORITHMS)
_CATALOGUE_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class BoxSource:
    """Where somebody else's box comes from, and what its file must be."""

    kind: Literal["name", "file", "url"]
    where: str
    checksum: Checksum | None = None

    def name_for(self, provider: str) -> str:
        """Return a name that changes when the source does: another file, or another place.

        Raises KubeClusterError for a file that cannot be read.
        """
        identity = [self.kind, self.where]
        if self.kind == "file":
            try:
                status = os.stat(self.where)
            except OSError as error:
                raise KubeClusterError(f"{self.where} cannot be read: {error.strerror}") from None
            identity += [str(status.st_size), str(status.st_mtime_ns)]
        if self.checksum:
            identity += [self.checksum.algorithm, self.checksum.digest]
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:12]
        word = re.sub(r"[^a-z0-9]+", "-", Path(self.where).stem.lower()).strip("-")[:30]
        return f"{provider}-{word or 'box'}-{digest}"


def box_source(text: str, checksum: str, folder: Path) -> BoxSource | None:
    """Return the box that is asked for; None for our own.

    ``text`` is a URL, the path of a file (relative to ``folder``), or a name in Vagrant's
    catalogue; ``checksum`` is as ``sha256:HEX``. Raises ValueError saying what is wrong with them.
    """
    if not text:
        if checksum:
            raise ValueError("a checksum says nothing without the box it is of: --kube-box")
        return None
    if re.match(r"https?://[^/]+/.", text):
        return BoxSource("url", text, _checksum(checksum))
    path = folder / Path(text).expanduser()
    if path.is_file():
        return BoxSource("file", str(path), _checksum(checksum))
    if not _CATALOGUE_NAME.fullmatch(text) or text.endswith(".box"):
        raise ValueError(
            f"{text!r} is no file there is, no URL (http or https), and no name of a box as "
            "debian/bookworm64"
        )
    if checksum:
        raise ValueError(
            f"the checksum of {text} is in Vagrant's catalogue; give one for a file or a URL"
        )
    return BoxSource("name", text)


def _checksum(text: str) -> Checksum | None:
    """Read ``sha256:HEX``."""
    if not text:
        return None
    algorithm, _, digest = text.partition(":")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{text!r} is no checksum; write it as sha256:HEX ({_KNOWN})")
    length = 2 * hashlib.new(algorithm).digest_size
    if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digest):
        raise ValueError(f"{digest!r} is no {algorithm} checksum: it has {length} hex digits")
    return Checksum(algorithm, digest.lower())
