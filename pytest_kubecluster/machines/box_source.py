"""Which image or box machines boot from, if not the bundled one."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.checksum import Checksum
from pytest_kubecluster.util.paths import user_path

_URL = re.compile(r"https?://[^/]+/.")
_CATALOGUE_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class BoxSource:
    """Where an image or a box comes from, and the checksum of its file."""

    kind: Literal["image", "name", "file", "url"]
    where: str = field(repr=False)
    """A name or a path, or a URL, which may hold a password or a token."""
    checksum: Checksum | None = None

    @property
    def shown(self) -> str:
        """Where it comes from, without credentials."""
        if self.kind != "url":
            return self.where
        parts = urlsplit(self.where)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def name_for(self, provider: str) -> str:
        """Return a name that changes with the source: another file, or another location.

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


def box_source(
    text: str, checksum: Checksum | None, folder: Path, *, images: bool
) -> BoxSource | None:
    """Return the image or box that the user chose, None for the bundled one.

    ``text`` is the name of an image for machines that boot ``images``. Otherwise it is a URL, the
    path of a file relative to ``folder``, or a name in Vagrant's catalogue. ``checksum`` is that of
    the file. Raises ValueError if they are invalid.
    """
    if not text:
        if checksum:
            raise ValueError("a checksum needs the box that it is for (--kube-box)")
        return None
    if images:
        if checksum or _URL.match(text) or text.endswith(".box"):
            raise ValueError(
                f"{text} is a box for virtual machines; add --kube-provider=libvirt, "
                "or name a Docker image"
            )
        return BoxSource("image", text)
    if _URL.match(text):
        return BoxSource("url", text, checksum)
    path = user_path(text, folder)
    if path.is_file():
        return BoxSource("file", str(path), checksum)
    if not _CATALOGUE_NAME.fullmatch(text) or text.endswith(".box"):
        raise ValueError(
            f"{text!r} is not an existing file, an http or https URL, or the name of a box such as "
            "debian/bookworm64"
        )
    if checksum:
        raise ValueError(
            f"the checksum of {text} is in Vagrant's catalogue; set one only for a file or a URL"
        )
    return BoxSource("name", text)
