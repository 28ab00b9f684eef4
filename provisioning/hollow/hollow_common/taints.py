"""Taints as --register-with-taints reads them."""

from __future__ import annotations

import re
from typing import Any

from hollow_common.errors import Panic
from hollow_common.facts import since
from hollow_common.labels import (
    DNS_SUBDOMAIN,
    NAME_PART,
    label_value_problems,
    qualified_name_problems,
)

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def parse_taints(text: str) -> list[dict[str, Any]]:
    """Read taints: pkg/util/taints/taints.go."""
    if not since(15):
        return [parse_taint(spec) for spec in text.split(",")]
    taints = [parse_new_taint(spec) for spec in text.split(",") if text]
    if not since(23):
        return taints
    seen = set()
    for taint in taints:
        key, effect = taint["key"], taint["effect"]
        if (key, effect) in seen:
            value = taint.get("value", "")
            shown = f"{{{key} {value} {effect} <nil>}}"
            raise ValueError(f"duplicated taints with the same key and effect: {shown}")
        seen.add((key, effect))
    return taints


def parse_new_taint(spec: str) -> dict[str, Any]:
    """Read key:effect or key=value:effect, as from 1.15 on."""
    invalid = f"invalid taint spec: {spec}"
    pair, colon, effect = spec.partition(":")
    key, _, value = pair.partition("=")
    if ":" in effect:
        raise ValueError(invalid)
    if colon:
        if effect not in TAINT_EFFECTS:
            raise ValueError(f"invalid taint effect: {effect}, unsupported taint effect")
        if "=" in value:
            raise ValueError(invalid)
        advice = label_value_problems(value)
        if advice:
            raise ValueError(f"{invalid}, {'; '.join(advice)}")
    else:
        key = pair
    advice = qualified_name_problems(key)
    if advice:
        raise ValueError(f"{invalid}, {'; '.join(advice)}")
    if not colon and since(23):
        raise ValueError(invalid)
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def parse_taint(spec: str) -> dict[str, Any]:
    """Read key=value:effect into the taint the API has."""
    parts = spec.split("=")
    prefix, slash, name = parts[0].rpartition("/")
    named = re.fullmatch(NAME_PART, name) and len(name) <= 63
    placed = not slash or (re.fullmatch(DNS_SUBDOMAIN, prefix) and len(prefix) <= 253)
    if len(parts) != 2 or not parts[1] or not named or not placed:
        raise ValueError(f"invalid taint spec: {spec}")
    value, *effects = parts[1].split(":")
    if not effects and not since(9):
        raise Panic("runtime error: index out of range")
    advice = label_value_problems(value)
    if len(effects) != 1 or advice:
        raise ValueError(f"invalid taint spec: {spec}, {'; '.join(advice)}")
    if effects[0] not in TAINT_EFFECTS:
        wrong = f"effect: {effects[0]}" if since(9) else f"spec: {spec}"
        raise ValueError(f"invalid taint {wrong}, unsupported taint effect")
    taint = {"key": parts[0], "value": value, "effect": effects[0], "timeAdded": None}
    return {field: content for field, content in taint.items() if content != ""}
