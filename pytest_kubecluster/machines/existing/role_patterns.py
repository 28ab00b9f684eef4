"""Which role a machine of one's own has, told by its name or its groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pytest_kubecluster.spec.model import Role

DEFAULT_ROLES = "*master*=master *control*=master *worker*=worker *node*=worker"
"""Fits the seed's groups ``role=master`` and ``role=worker``, and those of kubespray."""

Choice = Role | Literal["none"]
_CHOICES: tuple[Choice, ...] = ("master", "worker", "none")


@dataclass(frozen=True)
class RolePatterns:
    """Shell patterns and the roles they stand for; the first that fits counts."""

    pairs: tuple[tuple[str, Choice], ...]

    @classmethod
    def parse(cls, text: str) -> RolePatterns:
        """Read words as ``cp*=master``, between blanks or commas. Raises ValueError."""
        pairs = []
        for word in text.replace(",", " ").split():
            pattern, _, role = word.rpartition("=")
            choice = next((choice for choice in _CHOICES if choice == role), None)
            if not pattern or choice is None:
                raise ValueError(
                    f"{word!r} gives no machine a role; write it as PATTERN=ROLE, with one of "
                    f"{', '.join(_CHOICES)}"
                )
            pairs.append((pattern, choice))
        return cls(tuple(pairs))

    def role_of(self, names: Iterable[str]) -> Choice | None:
        """Return the role of what has these names; None where no pattern fits one of them."""
        known = tuple(names)
        for pattern, role in self.pairs:
            if any(fnmatchcase(name, pattern) for name in known):
                return role
        return None
