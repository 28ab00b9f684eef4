"""Checks of reserved resources and eviction thresholds."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from hollow_common.errors import Exit, Failure, Fatal
from hollow_common.facts import FACTS, since
from hollow_common.go import parse_duration, quote
from hollow_common.log import structured
from hollow_common.machine import memory_bytes
from hollow_common.quantity import parse_percentage, parse_quantity

from hollow_kubelet.flags import FlagSet

NO_THRESHOLD = ("0%", "100%")
RESERVABLE = ("cpu", "memory", "storage", "ephemeral-storage", "pid")


def check_resources(flags: FlagSet) -> None:
    """Check reservations and hard evictions as run() does for the container manager."""
    for flag in ("kube-reserved", "system-reserved"):
        try:
            check_reservation(flags[flag])
        except Failure as error:
            failed = f"--{flag} value failed to parse: " if since(25) else ""
            raise Failure(f"{failed}{error}") from None
    if not flags["experimental-allocatable-ignore-eviction"]:
        parse_evictions(flags["eviction-hard"])
    check_shares(flags["experimental-qos-reserved"])


def check_capacity(flags: FlagSet) -> None:
    """End if more is reserved than the machine has: validateNodeAllocatable in pkg/kubelet/cm."""
    capacity = {"cpu": (os.cpu_count() or 1) * 1000, "memory": memory_bytes()}
    reserved = {"cpu": 0.0, "memory": 0.0}
    for flag in ("kube-reserved", "system-reserved"):
        for name in reserved:
            reserved[name] += parse_quantity(flags[flag].get(name, "0"))
    reserved["cpu"] *= 1000
    if not flags["experimental-allocatable-ignore-eviction"]:
        limit = parse_evictions(flags["eviction-hard"]).get("memory.available", "0")
        share = parse_percentage(limit) / 100 if limit.endswith("%") else 0
        reserved["memory"] += share * capacity["memory"] if share else parse_quantity(limit)
    problems = [
        shortage(name, math.ceil(reserved[name]), capacity[name])
        for name in sorted(reserved)
        if reserved[name] > capacity[name]
    ]
    if not problems:
        return
    problem = f"nvalid Node Allocatable configuration. {' '.join(problems)}"
    if since(21):
        problem = structured("Failed to start ContainerManager", err=f"i{problem}")
        raise Exit("kubelet.go:1400", problem)
    start = "i" if since(16) else "I"
    raise Fatal("kubelet.go:1300", f"Failed to start ContainerManager {start}{problem}")


def shortage(name: str, reserved: int, capacity: int) -> str:
    """Return the words for a resource of which more is reserved than there is."""
    scale, form = (-3, "DecimalSI") if name == "cpu" else (0, "BinarySI")
    shown = [
        f"{{{{{amount} {scale}}} {{<nil>}}  {form}}}"
        for amount in (reserved, capacity, capacity - reserved)
    ]
    if since(21):
        words = f"has a reservation of {shown[0]} but capacity of {shown[1]}. Expected"
        return f"Resource {quote(name)} {words} capacity >= reservation."
    return f"Resource {quote(name)} has an allocatable of {shown[0]}, capacity of {shown[2]}"


def check_shares(shares: dict[str, str], parsed: bool = False) -> None:
    """Check shares reserved by quality of service: ParseQOSReserved in pkg/kubelet/cm.

    With ``parsed``, the error names what could not be parsed.
    """
    for name, share in shares.items():
        if name != "memory":
            raise Failure(f"cannot reserve {quote(name)} resource")
        problem = ""
        if not share.endswith("%"):
            problem = f"percentage expected, got '{share}'"
        elif not re.fullmatch(r"[+-]?[0-9]+%", share):
            problem = f"invalid number in percentage '{share}'"
        elif not 0 <= int(share[:-1]) <= 100:
            problem = "percentage must be between 0 and 100"
        if problem:
            failed = f"failed to parse percentage {quote(share)} for {quote(name)} resource: "
            raise Failure(f"{failed if parsed else ''}{problem}")


def check_reservation(amounts: dict[str, str]) -> None:
    """Refuse what cannot be reserved: parseResourceList in cmd/kubelet/app/server.go."""
    for name, amount in amounts.items():
        if name not in RESERVABLE:
            raise Failure(f"cannot reserve {quote(name)} resource")
        try:
            negative = parse_quantity(amount) < 0
        except Failure as error:
            failed = f"failed to parse quantity {quote(amount)} for {quote(name)} resource: "
            raise Failure(f"{failed if since(25) else ''}{error}") from None
        if negative:
            raise Failure(f"resource quantity for {quote(name)} cannot be negative: {amount}")


def parse_evictions(text: Any) -> dict[str, str]:
    """Return eviction thresholds by signal: pkg/kubelet/eviction/helpers.go."""
    thresholds: dict[str, str] = {}
    for statement in statements_of(text, "<"):
        parts = statement.split("<")
        if len(parts) != 2:
            raise Failure(
                f"invalid eviction threshold syntax {statement}, expected <signal><operator><value>"
            )
        signal_name, value = known_signal(parts[0]), parts[1]
        if value in NO_THRESHOLD and since(10):
            continue
        check_threshold(signal_name, value)
        if signal_name in thresholds:
            raise Failure(f"found duplicate eviction threshold for signal {signal_name}")
        thresholds[signal_name] = value
    return thresholds


def check_threshold(signal_name: str, value: str) -> None:
    """Refuse a threshold that is out of range."""
    if not value.endswith("%"):
        if parse_quantity(value) <= 0:
            raise Failure(f"eviction threshold {signal_name} must be positive: {value}")
        return
    percentage = parse_percentage(value)
    complaint = f"eviction percentage threshold {signal_name} must be"
    if not since(10):
        if percentage <= 0:
            raise Failure(f"{complaint} positive: {value}")
    elif percentage < 0:
        raise Failure(f"{complaint} >= 0%: {value}")
    elif percentage > 100:
        raise Failure(f"{complaint} <= 100%: {value}")


def statements_of(given: Any, mark: str) -> list[str]:
    """Return eviction statements one by one; from 1.9 on their flags are maps."""
    if isinstance(given, str):
        return given.split(",") if given else []
    return [f"{name}{mark}{value}" for name, value in given.items()]


def known_signal(name: str) -> str:
    """Return an eviction signal's name; raise a Failure for an unknown one."""
    if name not in FACTS["signals"]:
        raise Failure(f"unsupported eviction signal {name}")
    return name


def parse_statements(text: Any, what: str, value: str) -> dict[str, str]:
    """Return signal=value statements by signal; the words are for the complaint."""
    statements: dict[str, str] = {}
    for statement in statements_of(text, "="):
        parts = statement.split("=")
        if len(parts) != 2:
            raise Failure(f"invalid eviction {what} {statement}, expected <signal>=<{value}>")
        statements[known_signal(parts[0])] = parts[1]
    return statements


def check_reclaim(signal_name: str, amount: str) -> None:
    """Refuse a minimum reclaim that is out of range."""
    if amount.endswith("%"):
        if parse_percentage(amount) <= 0:
            complaint = f"eviction percentage minimum reclaim {signal_name} must be positive"
            raise Failure(f"{complaint}: {amount}")
    elif parse_quantity(amount) < 0:
        raise Failure(f"negative eviction minimum reclaim specified for {signal_name}")


def check_soft_evictions(flags: FlagSet) -> None:
    """Check soft evictions, their grace periods and minimum reclaims (eviction/helpers.go)."""
    soft = parse_evictions(flags["eviction-soft"])
    periods = parse_statements(
        flags["eviction-soft-grace-period"], "grace period syntax", "duration"
    )
    for period in periods.values():
        try:
            negative = parse_duration(period) < 0
        except ValueError as error:
            raise Failure(str(error)) from None
        if negative:
            raise Failure(
                f"invalid eviction grace period specified: {period}, must be a positive value"
            )
    reclaims = flags["eviction-minimum-reclaim"]
    for name, amount in parse_statements(reclaims, "minimum reclaim syntax:", "value").items():
        check_reclaim(name, amount)
    for name in soft:
        if name not in periods:
            raise Failure(f"grace period must be specified for the soft eviction threshold {name}")
