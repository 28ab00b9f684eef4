"""Systemd's account of the kubelet's unit, and of the node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from pytest_kubecluster.nodes.agent.system import paths
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.nodes.verdict.unit_syntax import directives

_UNIT_NAME = re.compile(
    r"[\w@.:\\-]+\.(?:service|socket|path|timer|mount|target|slice|device|swap|automount)\b"
)
_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
"""Units of time in seconds, as systemd writes them (systemd.time(7))."""
_TIME = re.compile(rf"([\d.]+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})\b")
_STABLE_SECONDS = 600
"""A kubelet that has run for so many seconds counts as not restarting, despite earlier restarts."""


def unit_is_loaded_from_its_file(case: Case) -> Iterator[Difference]:
    """Expect the unit's own file and drop-ins, and that systemd has read them as they are."""
    unit, stated = case.seen.unit, case.stated.unit
    if "unit" in case.seen.problems:
        yield _differs("unit", stated.name, case.seen.problems["unit"])
        return
    if unit.get("LoadState") != "loaded":
        yield _differs(
            f"unit {stated.name}",
            "loaded",
            unit.get("LoadState"),
            '[unit] name = "…" states another',
        )
        return
    if stated.path is not None and _merged(unit.get("FragmentPath", "")) != _merged(stated.path):
        yield _differs("unit FragmentPath", stated.path, unit.get("FragmentPath") or None)
    if stated.drop_ins is not None:
        actual = {*map(_merged, own_drop_ins(case.seen))}
        for path in sorted({*map(_merged, stated.drop_ins)} ^ actual):
            there = path in actual
            yield _differs(
                f"unit drop-in {path}", None if there else "a file", "a file" if there else None
            )
    if unit.get("NeedDaemonReload") == "yes":
        yield _differs("unit NeedDaemonReload", "no", "yes: its files changed since it was loaded")


def _merged(path: str) -> str:
    """Return a path with /lib as what it is today, a link to /usr/lib."""
    return f"/usr{path}" if path.startswith("/lib/") else path


def unit_is_the_stated_one(case: Case) -> Iterator[Difference]:
    """Expect the stated directives and environment files; order and spaces do not matter."""
    stated, seen = case.stated.unit, case.seen
    if (stated.text, stated.environment_files, stated.restart_seconds) == (None, None, None):
        raise NothingToCheck(
            "the spec states neither directives nor environment files nor restart_seconds"
        )
    if stated.restart_seconds is not None and restart_seconds(seen) != stated.restart_seconds:
        actual_delay = seen.unit.get("RestartUSec") or None
        yield _differs("unit RestartSec", f"{stated.restart_seconds}s", actual_delay)
    if stated.environment_files is not None:
        actual = {path for path, (kind, _) in seen.unit_files.items() if kind == "environment"}
        for path in sorted({*stated.environment_files} ^ actual):
            there = path in actual
            yield _differs(
                f"environment file {path}", None if there else "used", "used" if there else None
            )
    if stated.text is not None:
        text = next((f.text for k, f in seen.unit_files.values() if f and k == "unit"), "")
        wanted, found = Counter(directives(stated.text)), Counter(directives(text))
        for section, name, value in (wanted - found) | (found - wanted):
            expected = value if (section, name, value) in wanted - found else None
            yield _differs(
                f"unit [{section}] {name}", expected, None if expected is not None else value
            )


def restart_seconds(seen: Observation) -> float | None:
    """Return how long systemd waits before it restarts the unit; None if that is not known."""
    text = seen.unit.get("RestartUSec", "")
    if text in ("0", "infinity"):
        return float(text)
    parts = _TIME.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


def own_drop_ins(seen: Observation) -> tuple[str, ...]:
    """Return the unit's drop-ins, without those for all services (service.d, systemd.unit(5))."""
    found = paths(seen.unit.get("DropInPaths", ""))
    return tuple(path for path in found if PurePosixPath(path).parent.name != "service.d")


def unit_is_valid(case: Case) -> Iterator[Difference]:
    """Expect no complaint of ``systemd-analyze verify`` about this unit."""
    status, output = case.seen.verify
    if status == -1:
        raise NothingToCheck(f"systemd-analyze verify did not run: {output}")
    lines = [line for line in output.splitlines() if _is_about(case, line)]
    # CIS 4.1.1 asks for a unit that only root can read; to systemd that has no effect.
    lines = [line for line in lines if "world-inaccessible" not in line]
    if not case.stated.complete:
        # Old directives still do their work.
        lines = [line for line in lines if not re.search(r"(?i)deprecated|obsolete|legacy", line)]
    if lines or (status != 0 and not output):
        shown = "\n".join(lines) or f"exit status {status}"
        yield _differs("systemd-analyze verify", "no complaint", shown)


def _is_about(case: Case, line: str) -> bool:
    """Return whether a complaint is about this unit, and not about one that it needs."""
    unit = case.seen.unit
    drop_ins = paths(unit.get("DropInPaths", ""))
    own = [unit.get("Id", ""), unit.get("FragmentPath", ""), *drop_ins]
    if any(name and name in line for name in own):
        return True
    others = (
        r"[\w@.:\\-]+\.(?:service|socket|path|timer|mount|target|slice|device|swap|automount)\b"
    )
    return bool(line.strip()) and not re.search(others, line)


def service_is_enabled(case: Case) -> Iterator[Difference]:
    """Expect that something starts the unit at boot: a target, or a path, socket or timer."""
    unit = case.seen.unit
    state = unit.get("UnitFileState", "")
    if case.stated.complete:
        if state != "enabled":
            yield _differs("unit UnitFileState", "enabled", state or None)
        return
    wanted = case.stated.unit.enabled
    if wanted is False:
        if state in ("enabled", "enabled-runtime"):
            yield _differs("unit UnitFileState", "disabled", state, "", "spec")
        return
    started_by = f"{unit.get('WantedBy', '')} {unit.get('RequiredBy', '')}".split()
    started_by += [
        name
        for name, trigger in case.seen.triggers.items()
        if trigger.get("UnitFileState") == "enabled" or trigger.get("ActiveState") == "active"
    ]
    if state not in ("enabled", "enabled-runtime", "generated", "transient") and not started_by:
        yield _differs("unit UnitFileState", "enabled, or started by another unit", state or None)


def service_is_active(case: Case) -> Iterator[Difference]:
    """Expect the unit to run; one that left its kubelet to a container runtime may have ended."""
    unit = case.seen.unit
    process = case.seen.process
    left_to_another = process is not None and not process.is_main
    for name, value in (("ActiveState", "active"), ("SubState", "running")):
        ended = name == "SubState" and unit.get(name) == "exited" and left_to_another
        if unit.get(name) != value and not ended:
            yield _differs(f"unit {name}", value, unit.get(name) or None)


def service_does_not_restart(case: Case) -> Iterator[Difference]:
    """Expect that systemd did not have to restart the unit, unless that was long ago."""
    unit = case.seen.unit
    restarts = int(unit.get("NRestarts") or 0)
    started = int(unit.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    if restarts <= case.kubelet.restarts_at_boot:
        return
    if restarts and (case.stated.complete or case.seen.monotonic - started < _STABLE_SECONDS):
        last = "\n".join(case.seen.journal[-5:])
        yield _differs("unit NRestarts", "0", f"{restarts}; its last lines:\n{last}")


def no_unit_failed(case: Case) -> Iterator[Difference]:
    """Expect that no unit of the node failed."""
    if case.stated.host.no_failed_units is False:
        raise NothingToCheck("the spec tolerates failed units")
    for unit in case.seen.failed_units:
        yield _differs(f"unit {unit}", "not failed", "failed")


def resolver_ran_before_the_kubelet(case: Case) -> Iterator[Difference]:
    """Expect that systemd-resolved was active before the kubelet was started."""
    if not case.stated.host.resolver:
        raise NothingToCheck("the spec does not demand systemd-resolved")
    resolved = case.seen.resolved
    if resolved.get("ActiveState") != "active":
        yield _differs("systemd-resolved", "active", resolved.get("ActiveState") or None)
        return
    started = int(case.seen.unit.get("ExecMainStartTimestampMonotonic") or 0)
    if not started:
        raise NothingToCheck("the kubelet was not started yet")
    ready = int(resolved.get("ActiveEnterTimestampMonotonic") or 0)
    if not 0 < ready <= started:
        late = f"active {(ready - started) / 1e6:.1f} s after it"
        yield _differs("systemd-resolved", "active before the kubelet started", late)


def resolv_conf_names_a_server(case: Case) -> Iterator[Difference]:
    """Expect a name server in /etc/resolv.conf."""
    lines = case.seen.resolv_conf.splitlines()
    if not any(line.split()[:1] == ["nameserver"] for line in lines):
        actual = case.seen.resolv_conf.strip() or None
        yield Difference("/etc/resolv.conf", "a nameserver", actual, Evidence.FILES)


def _differs(
    name: str, expected: str | None, actual: str | None, hint: str = "", said: str = ""
) -> Difference:
    actual = f"{actual}; {hint}" if hint and actual else actual
    return Difference(name, expected, actual, Evidence.SYSTEMD, said)
