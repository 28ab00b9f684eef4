"""What a file's bytes must be, in one line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

ALGORITHMS = ("sha512", "sha256", "sha1")
_PIECE = 1 << 18


@dataclass(frozen=True)
class Checksum:
    """What a file's bytes must be."""

    algorithm: str
    digest: str

    def of(self, path: Path) -> str:
        """Return the digest of the file at ``path``."""
        hasher = hashlib.new(self.algorithm)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        return hasher.hexdigest()
