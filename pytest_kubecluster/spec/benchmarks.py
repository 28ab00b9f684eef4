"""The CIS Kubernetes Benchmarks: which checks a node of each version is judged by, and waivers.

The facts are in ``data/cis.toml``: the worker-node checks of each benchmark as kube-bench has them.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_kubecluster.spec.version import KubeVersion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DATA = Path(__file__).parent / "data" / "cis.toml"


@dataclass(frozen=True)
class CisCheck:
    """One check of a benchmark.

    Exactly one of ``file``, ``settings``, ``gate``, ``unit`` and ``proxy`` says what is looked at,
    in the words of ``data/cis.toml``.
    """

    id: str
    """Its number in the benchmark: ``4.2.1``."""
    name: str
    """Its name in every benchmark that has it: ``anonymous-auth``."""
    benchmark: str
    title: str
    remedy: str
    """What to do where it fails; ``{files}`` stands for the files that are not as they must be."""
    rule: str
    manual: bool
    """Whether the benchmark leaves it to a person to judge."""
    value: Any = None
    unset: str = "fails"
    """Whether a setting that nothing states ``fails``, ``passes``, or has its ``default``."""
    mode: int = 0o600
    file: str = ""
    settings: tuple[str, ...] = ()
    gate: str = ""
    unit: str = ""
    proxy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """The worker-node checks of one benchmark, by number, in its order."""

    name: str
    first: int
    """The first minor of the kubelets that it is for."""
    checks: Mapping[str, CisCheck]


@dataclass(frozen=True)
class Waiver:
    """A check that may fail, by number or name, and why."""

    check: str
    reason: str


@cache
def benchmarks() -> Mapping[str, Benchmark]:
    """Return all benchmarks by name (``cis-1.12``), from the oldest kubelet's to the newest's."""
    data = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    found: dict[str, Benchmark] = {}
    tables: dict[str, dict[str, Any]] = {}
    for name, own in data["benchmark"].items():
        tables[name] = table = {**tables.get(own.get("like", ""), {}), **own}
        checks = {
            check.id: check
            for section, entries in table.items()
            if section[0].isdigit()
            for number, entry in enumerate(entries, 1)
            for check in [_check(name, f"{section}.{number}", entry, table, data["check"])]
        }
        first = int(table["kubelets"][0].partition(".")[2])
        found[name] = Benchmark(name, first, MappingProxyType(checks))
    return MappingProxyType(found)


def benchmark_for(version: KubeVersion) -> Benchmark:
    """Return the benchmark that a kubelet is judged by: the last one that is not too new for it."""
    (*_, last) = (one for one in benchmarks().values() if one.first <= version.minor)
    return last


def waiver_of(check: CisCheck, waivers: tuple[Waiver, ...]) -> Waiver | None:
    """Return the waiver of a check; None if it has none."""
    return next((one for one in waivers if one.check in (check.id, check.name)), None)


def check_waivers(waivers: tuple[Waiver, ...], version: KubeVersion) -> None:
    """Raise ValueError for a waiver of a check that there is not, naming those that are near.

    A number must be one of the version's own benchmark, since others may have another check there.
    A name may be one of any benchmark.
    """
    own = benchmark_for(version)
    names = {check.name for one in benchmarks().values() for check in one.checks.values()}
    seen: dict[str, str] = {}
    for waiver in waivers:
        key = waiver.check
        if key not in own.checks and key not in names:
            raise ValueError(f"{key}: {_unknown(key, own, names)}")
        name = own.checks[key].name if key in own.checks else key
        if name in seen:
            raise ValueError(f"{seen[name]} and {key} are the same check: keep one of them")
        seen[name] = key


def _unknown(key: str, own: Benchmark, names: set[str]) -> str:
    if key[:1].isdigit():
        others = [
            f"{one.name} ({one.checks[key].name})"
            for one in benchmarks().values()
            if key in one.checks
        ]
        text = (
            f"{own.name}, which kubelet 1.{own.first} and newer are judged by, has no check {key}"
        )
        near = [one for one in own.checks if one.rpartition(".")[0] == key.rpartition(".")[0]]
        if others:
            text += f"; {', '.join(others)} has; the name of a check holds for all of them"
        return text + (f"; near it are {near[0]} to {near[-1]}" if near else _numbers(own))
    near = difflib.get_close_matches(key, sorted(names), 3)
    text = f"no benchmark has a check {key}"
    return text + (f"; did you mean {' or '.join(near)}?" if near else _numbers(own))


def _numbers(own: Benchmark) -> str:
    numbers = list(own.checks)
    return f"; the numbers of {own.name} are {numbers[0]} to {numbers[-1]}"


def _check(
    benchmark: str, number: str, entry: str, table: Mapping[str, Any], checks: Mapping[str, Any]
) -> CisCheck:
    variant, _, mode = entry.partition("=")
    mode = mode or table["mode"]
    known = checks[variant]
    value = known.get("value")
    return CisCheck(
        number,
        known.get("name", variant),
        benchmark,
        known["title"].replace("{mode}", mode),
        known["remedy"].replace("{mode}", mode),
        known["rule"],
        number in table["manual"],
        tuple(value) if isinstance(value, list) else value,
        known.get("unset", "fails"),
        int(mode, 8),
        known.get("file", ""),
        tuple(known.get("setting", ())),
        known.get("gate", ""),
        known.get("unit", ""),
        tuple(known.get("proxy", ())),
    )
