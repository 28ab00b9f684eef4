"""The version of a kubelet, in every spelling people give it."""

from __future__ import annotations

import re
from dataclasses import dataclass

OLDEST, NEWEST = 7, 36
"""The first and the last minor of 1 whose kubelet's command line is known."""

KNOWN = f"1.{OLDEST} to 1.{NEWEST}"

_SPELLING = re.compile(
    r"v?(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?:[_+](?P<build>[0-9A-Za-z.-]+))?",
    re.ASCII,
)
_PRE_RELEASE = re.compile(r"v?\d+\.\d+(?:\.\d+)?-(?:alpha|beta|rc)\b.*", re.ASCII)


@dataclass(frozen=True, order=True)
class KubeVersion:
    """A kubelet version such as 1.7.5, with the build its distributor added (``coreos.1``).

    Image tags cannot hold a ``+``, so that ``v1.7.5+coreos.1`` (git, ``--version``) is the tag
    ``v1.7.5_coreos.1`` on quay.io/coreos/hyperkube.
    """

    major: int
    minor: int
    patch: int
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> KubeVersion:
        """Read ``1.7``, ``1.7.5``, ``v1.7.5``, ``v1.7.5_coreos.1`` or ``v1.7.5+coreos.1``.

        Raises ValueError for anything else; pre-releases are anything else.
        """
        match = _SPELLING.fullmatch(text.strip())
        if match is None:
            if _PRE_RELEASE.fullmatch(text.strip()):
                raise ValueError(
                    f"{text!r} is a pre-release, whose flags may change until its release; "
                    f"give a release from {KNOWN}"
                )
            raise ValueError(
                f"{text!r} is no kubelet version; "
                f"write it as 1.7.5, v1.7.5 or the image tag v1.7.5_coreos.1 ({KNOWN})"
            )
        return cls(
            int(match["major"]), int(match["minor"]), int(match["patch"] or 0), match["build"] or ""
        )

    @classmethod
    def parse_known(cls, text: str) -> KubeVersion:
        """Read a version whose kubelet's command line is known.

        Raises ValueError for one that is none, and for one out of range.
        """
        version = cls.parse(text)
        if not version.known:
            raise ValueError(f"{text} is out of the range of known kubelets, {KNOWN}")
        return version

    @property
    def known(self) -> bool:
        """Whether what this version accepts is known."""
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
        return f"v{self.number}" + (f"_{self.build}" if self.build else "")

    @property
    def git_version(self) -> str:
        """What ``kubelet --version`` prints behind ``Kubernetes``: ``v1.7.5+coreos.1``."""
        return self.tag.replace("_", "+", 1)

    def __str__(self) -> str:
        return self.tag
