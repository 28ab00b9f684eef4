"""What each minor version of the kubelet accepts. The data is read on first use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_kubecluster.spec.version import NEWEST, OLDEST

MINORS = tuple(f"1.{minor}" for minor in range(OLDEST, NEWEST + 1))
"""The minors whose kubelet can be specified."""

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Flag:
    """A kubelet flag, in pflag's words.

    ``default`` is None where it was not collected. ``deprecated`` is the warning the flag brings.
    ``field`` is where a KubeletConfiguration has its value (``authentication.anonymous.enabled``),
    if that minor has one and the flag is among those that a node's spec sets. ``origin`` is where
    it is defined: the ``kubelet``, a ``library`` linked into every kubelet (glog, cAdvisor, cloud
    credentials), or a library that only ``hyperkube`` links.
    """

    name: str
    type: str
    default: str | None = None
    deprecated: str | None = None
    field: str | None = None
    hidden: bool = False
    origin: str = "kubelet"

    @property
    def boolean(self) -> bool:
        """Whether the flag never takes the next word as its value (pflag's NoOptDefVal)."""
        return self.type in ("bool", "version")


@cache
def flags(minor: str) -> Mapping[str, Flag]:
    """Return the flags that the kubelet of ``minor`` (``"1.7"``) accepts, by name.

    Hidden flags and those that only the hyperkube binary adds are included. Raises ValueError for
    an unknown minor.
    """
    data = _data()
    if minor not in data["minors"]:
        raise ValueError(f"unknown minor version of the kubelet: {minor}")
    read_as = kinds(minor)
    number = _number(minor)
    return MappingProxyType(
        {
            name: Flag(
                name=name,
                type=read_as.get(name, flag["type"]).rstrip("=<!"),
                default=_at(number, flag.get("default", ())),
                deprecated=_at(number, flag.get("deprecated", ())),
                field=_field(number, flag),
                hidden=flag.get("hidden", False),
                origin=flag.get("origin", "kubelet"),
            )
            for name, flag in data["flags"].items()
            if any(first <= number <= last for first, last in flag["in"])
        }
    )


@dataclass(frozen=True)
class History:
    """The minors that have a flag: ``since`` one and ``removed`` in another, None for no limit.

    ``instead`` is what replaces it today, where that is known.
    """

    since: str | None
    removed: str | None
    instead: str | None


def history(name: str) -> History | None:
    """Return which kubelets accept the flag, or None if none in the range does."""
    flag = _data()["flags"].get(name)
    if flag is None:
        return None
    first, last = flag["in"][0][0], flag["in"][-1][1]
    _, field = flag.get("field", (0, None))
    return History(
        since=f"1.{first}" if first > OLDEST else None,
        removed=f"1.{last + 1}" if last < NEWEST else None,
        instead=flag.get("instead")
        or (f"the KubeletConfiguration field {field}" if field else None),
    )


@dataclass(frozen=True)
class Field:
    """A field of the KubeletConfiguration.

    ``type`` is Go's, ``default`` what a configuration file starts from (durations as text), and
    ``shown`` is whether /configz shows the field while it is empty. ``flag`` sets it.
    ``zero_is_default`` is whether an explicit zero value (``0`` or ``""``) means the default.
    ``shape`` describes the objects that a field of type ``any`` holds: types by field name.
    """

    type: str
    shown: bool
    default: Any
    flag: str | None
    zero_is_default: bool = False
    shape: Any = None


@cache
def fields(minor: str) -> Mapping[str, Field]:
    """Return the fields of the KubeletConfiguration of ``minor``, by path.

    Kubelets until 1.9 read no file; their fields are those that /configz shows.
    """
    number = _number(minor)
    found = {path: _at(number, marks) for path, marks in _configuration()["fields"].items()}
    return MappingProxyType(
        {path: _configuration_field(number, path, *field) for path, field in found.items() if field}
    )


def _configuration_field(
    number: int, path: str, kind: str, shown: bool, default: Any, flag: str | None
) -> Field:
    spans = _rules()["zeros"].get(path, ())
    zero_is_default = any(first <= number <= last for first, last in spans)
    shape = _rules()["shapes"].get(path) if kind == "any" else None
    return Field(kind, shown, default, flag, zero_is_default, shape)


@cache
def rules(minor: str) -> tuple[Any, ...]:
    """Return the rules that the kubelet of ``minor`` validates a KubeletConfiguration by, in order.

    Each is a list: the condition on which the configuration is refused, the message in Go's format,
    and the values in it. A condition is a list of an operator and its operands, which may be lists
    themselves: ``["field", PATH]``, ``["gate", NAME]``, ``["len", X]``, ``["in range", X, FIRST,
    LAST]``, ``["one of", X, VALUE, ...]``, ``["list", ...]`` and Go's operators; durations are in
    nanoseconds. A text instead of a list names a part of the configuration with rules of its own.
    """
    facts = _rules()
    return tuple(facts["rules"][place] for place in _at(_number(minor), facts["in"]) or ())


@cache
def eviction_signals(minor: str) -> tuple[str, ...]:
    """Return the eviction signals that the kubelet of ``minor`` knows."""
    number = max(_number(minor), OLDEST + 1)  # those of 1.7 are those of 1.8
    return tuple(_at(number, _rules()["signals"]) or ())


@cache
def kinds(minor: str) -> Mapping[str, str]:
    """Return how the flags of ``minor`` read their values, where the type alone is ambiguous.

    ``=``, ``<`` and ``!`` after a map's type are maps of which every item has to be a pair,
    separated by that sign, or, for ``!``, by ``=`` with one pair per flag.
    """
    number = _number(minor)
    found = {name: _at(number, marks) for name, marks in _configuration()["kinds"].items()}
    return MappingProxyType({name: kind for name, kind in found.items() if kind})


@cache
def feature_gates(minor: str) -> Mapping[str, str]:
    """Return the feature gates that the kubelet of ``minor`` knows, by name.

    Each text has the stage (alpha, beta, ga, deprecated), the default and, if it cannot be
    changed, ``locked``.
    """
    number = _number(minor)
    found = {name: _at(number, marks) for name, marks in _configuration()["gates"].items()}
    return MappingProxyType({name: gate for name, gate in found.items() if gate})


def _field(number: int, flag: Mapping[str, Any]) -> str | None:
    since, field = flag.get("field", (0, None))
    return field if number >= since else None


def _at(number: int, marks: Iterable[tuple[int, int, Any]]) -> Any:
    """Return the value for a minor from marks of the form (first, last, value)."""
    return next((value for first, last, value in marks if first <= number <= last), None)


def _number(minor: str) -> int:
    return int(minor.partition(".")[2])


@cache
def _rules() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_DATA / "rules.json").read_text())
    return data


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_DATA / "kubelet.json").read_text())
    return data


@cache
def _configuration() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_DATA / "configuration.json").read_text())
    return data
