"""The few flags and fields of a command line by which other things are found."""

from __future__ import annotations

import os
from typing import Any

from . import documents


class Options:
    """The few flags and fields by which other things are found, as this process has them.

    ``expected`` has values of flags for a kubelet that does not run.
    """

    def __init__(self, argv: list[str], folder: str, expected: dict[str, str]) -> None:
        self.folder = folder
        self._flags = _flags(argv) if argv else dict(expected)
        self._documents: list[Any] = []

    def add(self, documents: list[Any]) -> None:
        """Take the documents of ``--config`` and ``--config-dir``; later ones come first."""
        self._documents = documents[::-1]

    def path(self, flag: str, field: str = "") -> str:
        """Return a path, as an absolute one; nothing where it is not set."""
        value = str(self.value(flag, field) or "")
        return os.path.normpath(os.path.join(self.folder, value)) if value else ""

    def text(self, flag: str, field: str = "") -> str:
        """Return a text; nothing where it is not set, or no text."""
        value = self.value(flag, field)
        return value if isinstance(value, str) else ""

    def value(self, flag: str, field: str = "") -> Any:
        """Return the value of a flag, or else of a configuration field; None if neither is set."""
        if flag in self._flags:
            return self._flags[flag]
        for document in self._documents if field else ():
            if (value := documents.field(document, field)) is not None:
                return value
        return None

    def port(self, flag: str, field: str, usual: int) -> int:
        """Return a port, the usual one if none is set."""
        value = self.value(flag, field)
        try:
            return usual if value in (None, "") else int(value)
        except (TypeError, ValueError):
            return usual


def _flags(argv: list[str]) -> dict[str, str]:
    """Return all possible flags with values; the word after a boolean flag does not matter here."""
    found: dict[str, str] = {}
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            taken = value if equals else "" if following.startswith("-") else following
            found[name.replace("_", "-")] = taken
    return found
