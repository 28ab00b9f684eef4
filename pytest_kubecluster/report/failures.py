"""A folder for each failing test, in the report: the failure, and the facts of its nodes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.redact import redact

FOLDER = "failures"
_LONGEST = 100
"""Characters of a folder's name; a system takes 255 bytes."""


def write_failure(root: Path, test: str, text: str, facts: Mapping[str, str]) -> Path:
    """Write the ``text`` of a failure, and ``facts`` by node, to a folder below ``root``.

    Secrets are redacted, and only the owner can read the files. Raises OSError.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root / FOLDER / folder_name(test)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    files = {"failure.txt": text, **{f"{node}.txt": one for node, one in facts.items()}}
    for name, content in files.items():
        write_atomically(folder / name, (redact(content).rstrip() + "\n").encode(), 0o600)
    return folder


def folder_name(test: str) -> str:
    """Return the name of a test's folder: its node id in plain characters."""
    file, _, name = test.partition("::")
    short = f"{file.rpartition('/')[2]}-{name}"
    plain = re.sub(r"[^\w.=-]+", "-", short, flags=re.ASCII).strip("-.")
    if plain and len(plain) <= _LONGEST and "/" not in test:
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"
