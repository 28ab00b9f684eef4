"""What each minor version of a control plane's programs accepts. The data is read on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_kubecluster.spec.catalog import Flag

_DATA = Path(__file__).parent / "data" / "control-plane.json"


@cache
def program_flags(program: str, minor: int) -> Mapping[str, Flag]:
    """Return the flags that ``program`` (``"kube-apiserver"``) of 1.``minor`` accepts, by name.

    Those that it may have in a minor that no source was found for are included, and up to 1.9 those
    that the libraries of a hyperkube add to each of its programs. Defaults were not collected.
    """
    data = _data()
    unsure = data["unsure"].get(f"1.{minor}", {}).get(program, ())
    return MappingProxyType(
        {
            name: Flag(
                name=name,
                type=facts["type"],
                deprecated=next(
                    (
                        text
                        for first, last, text in facts.get("deprecated", ())
                        if first <= minor <= last
                    ),
                    None,
                ),
                origin=facts.get("origin", program),
            )
            for name, facts in data["flags"][program].items()
            if name in unsure or any(first <= minor <= last for first, last in facts["in"])
        }
    )


def source(minor: int) -> str:
    """Return the repository and revision that the flags of 1.``minor`` were read in."""
    return str(_data()["sources"][f"1.{minor}"])


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text())
    return data
