"""The version of a kubelet, in every spelling that is in use."""

from __future__ import annotations

import re
from dataclasses import dataclass

OLDEST, NEWEST = 7, 36
"""The first and the last minor version of 1 whose kubelet is known."""

KNOWN = f"1.{OLDEST} to 1.{NEWEST}"

_SPELLING = re.compile(
    r"v?(?P<major>\d{1,9})\.(?P<minor>\d{1,9})(?:\.(?P<patch>\d{1,9}))?"
    r"(?:[_+](?P<build>[0-9A-Za-z.-]+)|(?P<suffix>-[0-9A-Za-z][0-9A-Za-z.+-]*))?",
    re.ASCII,
)
_PRE_RELEASE = re.compile(r"v?\d+\.\d+(?:\.\d+)?-(?:alpha|beta|rc)(?![A-Za-z]).*", re.ASCII)


@dataclass(frozen=True, order=True)
class KubeVersion:
    """A kubelet version such as 1.7.5, with the build its distributor added (``coreos.1``).

    Image tags cannot hold a ``+``: ``v1.7.5+coreos.1`` (git, ``--version``) is the tag
    ``v1.7.5_coreos.1`` on quay.io/coreos/hyperkube. A build may follow a hyphen: ``-eks-ae9a62a``.
    """

    major: int
    minor: int
    patch: int
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> KubeVersion:
        """Read ``1.7``, ``1.7.5``, ``v1.7.5``, ``v1.7.5_coreos.1`` or ``v1.29.3-eks-ae9a62a``.

        Raises ValueError for anything else, and for pre-releases.
        """
        if _PRE_RELEASE.fullmatch(text.strip()):
            raise ValueError(
                f"{text!r} is a pre-release, whose flags may change until its release; "
                f"give a release from {KNOWN}"
            )
        match = _SPELLING.fullmatch(text.strip())
        if match is None:
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            raise ValueError(
                f"invalid kubelet version {shown!r}; "
                f"write it as 1.7.5, v1.7.5 or the image tag v1.7.5_coreos.1 ({KNOWN})"
            )
        build = match["build"] or match["suffix"] or ""
        return cls(int(match["major"]), int(match["minor"]), int(match["patch"] or 0), build)

    @classmethod
    def parse_known(cls, text: str) -> KubeVersion:
        """Read the version of a known kubelet.

        Raises ValueError for text that is not a version, and for a version out of range.
        """
        version = cls.parse(text)
        if not version.known:
            raise ValueError(f"{text} is outside the range of known kubelets, {KNOWN}")
        return version

    @property
    def known(self) -> bool:
        """Whether the flags and settings of this version are known."""
        return self.major == 1 and OLDEST <= self.minor <= NEWEST

    @property
    def number(self) -> str:
        """The version without its build: ``1.7.5``."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def minor_version(self) -> str:
        """The release line: ``1.7``."""
        return f"{self.major}.{self.minor}"

    @property
    def tag(self) -> str:
        """The image tag: ``v1.7.5_coreos.1``."""
        separator = "_" if self.build and not self.build.startswith("-") else ""
        return f"v{self.number}{separator}{self.build}"

    @property
    def git_version(self) -> str:
        """What ``kubelet --version`` prints after ``Kubernetes``: ``v1.7.5+coreos.1``."""
        return self.tag.replace("_", "+", 1)

    def __str__(self) -> str:
        return self.tag
