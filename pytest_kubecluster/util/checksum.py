"""Checksums of files, written as ``sha256:HEX``."""

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
    """The digest that a file must have."""

    algorithm: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Parse ``sha256:HEX``. Raises ValueError with the problem."""
        algorithm, _, digest = text.partition(":")
        if algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"{text!r} is not a checksum; write it as sha256:HEX ({known})")
        length = 2 * hashlib.new(algorithm).digest_size
        if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digest):
            raise ValueError(f"{digest!r} is not a {algorithm} checksum of {length} hex digits")
        return cls(algorithm, digest.lower())

    def verify(self, path: Path, what: str, then: str) -> None:
        """Check that the file at ``path`` has this digest.

        Raises KubeClusterError that calls the file ``what`` and ends with ``then``, the way out.
        """
        if (found := self.of(path)) != self.digest:
            raise KubeClusterError(
                f"{what} does not match its {self.algorithm} checksum\n"
                f"  expected  {self.digest}\n"
                f"  found     {found}\n"
                f"  it was not used; {then}"
            )

    def of(self, path: Path) -> str:
        """Return the digest of the file at ``path``."""
        hasher = hashlib.new(self.algorithm)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        return hasher.hexdigest()
