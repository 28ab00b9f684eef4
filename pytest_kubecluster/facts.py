"""What each minor version of the kubelet accepts. The data is read when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

MINORS = ("1.7",)
"""The minors whose kubelet can be specified."""


@dataclass(frozen=True)
class Flag:
    """A kubelet flag: its type in pflag's words, and the warning it brings if it is deprecated."""

    name: str
    type: str
    deprecated: str | None = None


@cache
def flags(minor: str) -> Mapping[str, Flag]:
    """Return the flags that the kubelet of ``minor`` (``"1.7"``) accepts, by name.

    Those that only the hyperkube binary adds are among them. Raises ValueError for a minor that
    nothing is known of.
    """
    if minor not in _data()["minors"]:
        raise ValueError(f"nothing is known about kubelet {minor}")
    number = int(minor.partition(".")[2])

    def holds(first: int, last: int) -> bool:
        return first <= number <= last

    return MappingProxyType(
        {
            name: Flag(
                name,
                flag["type"],
                next(
                    (
                        text
                        for first, last, text in flag.get("deprecated", ())
                        if holds(first, last)
                    ),
                    None,
                ),
            )
            for name, flag in _data()["flags"].items()
            if any(holds(first, last) for first, last in flag["in"])
        }
    )


@cache
def configz(minor: str) -> Mapping[str, Any]:
    """Return what a kubelet of ``minor`` that is given no flags answers on /configz."""
    path = Path(__file__).parent / "data" / f"configz-{minor}.json"
    answer: dict[str, Any] = json.loads(path.read_text())
    return MappingProxyType(answer)


@cache
def _data() -> dict[str, Any]:
    text = (Path(__file__).parent / "data" / "kubelet.json").read_text()
    data: dict[str, Any] = json.loads(text)
    return data
