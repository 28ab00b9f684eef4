"""The versions of an object: what is stored is one form, each version shows its own.

Only events differ in more than their apiVersion: pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_apiserver.kinds import group_version

if TYPE_CHECKING:
    from hollow_apiserver.kinds import Kind

RENAMED = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
"""Fields of an event of the core group, and their names in events.k8s.io."""


def to_version(kind: Kind, thing: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a stored object as a version of its kind shows it."""
    result = {"kind": kind.kind, "apiVersion": group_version(kind.group, version)}
    body = {name: value for name, value in thing.items() if name not in result}
    if kind.group == "events.k8s.io":
        body = renamed(body, dict(RENAMED))
    return {**result, **body}


def from_version(kind: Kind, thing: dict[str, Any]) -> dict[str, Any]:
    """Return an object that a client sent as it is stored."""
    if kind.group != "events.k8s.io":
        return {**thing, "apiVersion": group_version(kind.group, kind.versions[0])}
    names = {new: old for old, new in RENAMED}
    return {**renamed(thing, names), "apiVersion": "v1"}


def renamed(thing: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return an object with other names for its fields."""
    return {names.get(name, name): value for name, value in thing.items()}
