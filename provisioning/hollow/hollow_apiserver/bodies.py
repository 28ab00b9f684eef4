"""The bodies of requests: what they hold, and what is said of those that hold nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import GO_TYPES

from hollow_apiserver.conversion import from_version
from hollow_apiserver.failures import (
    RequestFailure,
    bad_request,
    unsupported_media,
)
from hollow_apiserver.kinds import Kind, find, group_version

if TYPE_CHECKING:
    from hollow_apiserver.requests import Request

MEDIA = ("application/json", "application/yaml", "application/x-www-form-urlencoded", "")
"""Media types of bodies that are read; those after the second are a client's that says none."""


def parsed(request: Request) -> dict[str, Any]:
    """Return the object in a request's body."""
    media = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if media not in MEDIA:
        raise unsupported_media(", ".join(MEDIA[:2]))
    wanted = getattr(find(request.group, request.version, request.resource), "kind", "")
    thing = parse(request.body, wanted)
    if not isinstance(thing, dict):
        raise unreadable(request.body, wanted, cannot_unmarshal(thing))
    return thing


def body(kind: Kind, request: Request) -> dict[str, Any]:
    """Return the object in a request's body, as it is stored."""
    thing = parsed(request)
    wanted = group_version(kind.group, request.version)
    given, found = thing.get("kind") or kind.kind, thing.get("apiVersion") or wanted
    if (given, found) != (kind.kind, wanted):
        shown = found if "/" in found else f"/{found}"
        group, _, version = shown.rpartition("/")
        source = f"{group.rpartition('.')[2]}{version}.{given}".replace("/", "")
        package = "core" if since(9) else "api"
        problem = "unknown conversion" if since(12) else "Data not present in src"
        raise bad_request(
            f'{given} in version "{version}" cannot be handled as a {kind.kind}: '
            f"converting ({source}) to ({package}.{kind.kind}): {problem}"
        )
    return from_version(kind, {**thing, "kind": kind.kind})


def parse(body: bytes, wanted: str = "") -> Any:
    """Return what a body in JSON, or in YAML, holds; ``wanted`` is the kind it shall be of."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    from hollow_common.yaml_reader import YamlError, load_yaml_or_json

    try:
        return load_yaml_or_json(body).value
    except YamlError as error:
        raise unreadable(body, wanted, str(error)) from None


def unreadable(body: bytes, wanted: str, problem: str) -> RequestFailure:
    """Return the failure of a body that holds no object."""
    shown = body[:1024].decode(errors="replace") if body.startswith(b"{") else body[:64].hex()
    of_type = f" (must be of type {wanted})" if wanted else ""
    reading = "couldn't get version/kind; json parse error"
    return bad_request(
        f"the object provided is unrecognized{of_type}: {reading}: {problem} ({shown})"
    )


def cannot_unmarshal(value: Any) -> str:
    """Return Go's words about a value that is no object."""
    found = GO_TYPES.get(type(value), "number")
    fields = r'APIVersion string "json:\"apiVersion,omitempty\""; '
    fields += r'Kind string "json:\"kind,omitempty\""'
    return f"json: cannot unmarshal {found} into Go value of type struct {{ {fields} }}"
