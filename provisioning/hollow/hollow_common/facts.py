"""The facts of the one version that this kubelet plays."""

from __future__ import annotations

import json
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS: dict[str, Any] = {}
"""Flags, feature gates and configuration fields of the version; ``load`` fills it."""


def load() -> None:
    """Take the facts that were packed beside this module."""
    play(json.loads(pkgutil.get_data(__package__, "facts.json") or b"{}"))


def play(facts: Mapping[str, Any]) -> None:
    """Behave as the version that the facts describe."""
    FACTS.clear()
    FACTS.update(facts)


def since(minor: int) -> bool:
    """Return whether the version is 1.``minor`` or newer."""
    return bool(FACTS["minor"] >= minor)


def version() -> str:
    """Return the version that this kubelet reports."""
    return f"{FACTS['git_version']}+hollow"
