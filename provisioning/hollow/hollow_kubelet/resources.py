"""Checks of reserved resources and eviction thresholds."""

from __future__ import annotations

import re
from typing import Any

from hollow_common.errors import Failure
from hollow_common.facts import FACTS, since
from hollow_common.go import parse_duration, quote
from hollow_common.quantity import parse_percentage, parse_quantity

from hollow_kubelet.flags import FlagSet

NO_THRESHOLD = ("0%", "100%")
RESERVABLE = ("cpu", "memory", "storage", "ephemeral-storage", "pid")


def check_resources(flags: FlagSet) -> None:
    """Check reservations and hard evictions as run() does for the container manager."""
    for flag in ("kube-reserved", "system-reserved"):
        for name, amount in flags[flag].items():
            if name not in RESERVABLE:
                raise Failure(f"cannot reserve {quote(name)} resource")
            if parse_quantity(amount) < 0:
                raise Failure(f"resource quantity for {quote(name)} cannot be negative: {amount}")
    if not flags["experimental-allocatable-ignore-eviction"]:
        parse_evictions(flags["eviction-hard"])
    for name, share in flags["experimental-qos-reserved"].items():
        if name != "memory":
            raise Failure(f"cannot reserve {quote(name)} resource")
        if not share.endswith("%"):
            raise Failure(f"percentage expected, got '{share}'")
        if not re.fullmatch(r"[+-]?[0-9]+%", share):
            raise Failure(f"invalid number in percentage '{share}'")
        if not 0 <= int(share[:-1]) <= 100:
            raise Failure("percentage must be between 0 and 100")


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
