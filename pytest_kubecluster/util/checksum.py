"""What a file's bytes must be, in one line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError

ALGORITHMS = ("sha512", "sha256", "sha1")
_PIECE = 1 << 18


@dataclass(frozen=True)
class Checksum:
    """What a file's bytes must be."""

    algorithm: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read ``sha256:HEX``. Raises ValueError saying what is wrong with it."""
        algorithm, _, digest = text.partition(":")
        if algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"{text!r} is no checksum; write it as sha256:HEX ({known})")
        length = 2 * hashlib.new(algorithm).digest_size
        if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digest):
            raise ValueError(f"{digest!r} is no {algorithm} checksum: it has {length} hex digits")
        return cls(algorithm, digest.lower())

    def verify(self, path: Path, what: str, then: str) -> None:
        """Check that the file at ``path`` is what it must be.

        Raises KubeClusterError saying that ``what`` is not, and ``then`` what to do.
        """
        if (found := self.of(path)) != self.digest:
            raise KubeClusterError(
                f"{what} is not what its {self.algorithm} checksum says\n"
                f"  expected  {self.digest}\n"
                f"  found     {found}\n"
                f"  nothing of it was used; {then}"
            )

    def of(self, path: Path) -> str:
        """Return the digest of the file at ``path``."""
        hasher = hashlib.new(self.algorithm)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        return hasher.hexdigest()
