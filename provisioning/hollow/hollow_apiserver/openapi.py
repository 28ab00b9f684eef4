"""The schema that clients ask for: without definitions, so that they check nothing themselves.

It tells what kubectl has to know before a dry run: which kinds can be patched with ``dryRun``.
Older kubectl wants it as protobuf, a Document of gnostic's OpenAPIv2.proto.
"""

from __future__ import annotations

import json
from typing import Any

from hollow_common.facts import since, version

from hollow_apiserver.answers import Answer
from hollow_apiserver.kinds import KINDS

EXTENSION = "x-kubernetes-group-version-kind"


def openapi(accept: str) -> Answer:
    """Answer with the schema, in protobuf for the clients that ask for that."""
    if "proto-openapi" not in accept:
        return Answer(200, json.dumps(in_json()).encode(), "application/json")
    kind = "application/octet-stream"
    if since(25):
        kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    return Answer(200, in_protobuf(), kind)


def patched() -> list[tuple[str, dict[str, str]]]:
    """Return the path of each kind's objects, with its group, version and kind."""
    found = []
    for kind in KINDS:
        for one in kind.versions:
            root = f"/apis/{kind.group}/{one}" if kind.group else f"/api/{one}"
            inner = "/namespaces/{namespace}" if kind.namespaced else ""
            names = {"group": kind.group, "version": one, "kind": kind.kind}
            found.append((f"{root}{inner}/{kind.plural}/{{name}}", names))
    return found


def in_json() -> dict[str, Any]:
    """Return the schema for JSON."""
    dry_run = {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True}
    paths = {
        path: {"patch": {"parameters": [dry_run], "responses": {}, EXTENSION: names}}
        for path, names in patched()
    }
    info = {"title": "Kubernetes", "version": version()}
    return {"swagger": "2.0", "info": info, "paths": paths, "definitions": {}}


def in_protobuf() -> bytes:
    """Return the schema as protobuf."""
    parameter = message(2, "query") + message(4, "dryRun")
    for number in (3, 2, 1, 8):  # Query, NonBodyParameter, Parameter, parameters
        parameter = message(number, parameter)
    paths = b""
    for path, names in patched():
        yaml = "".join(f"{name}: {json.dumps(value)}\n" for name, value in names.items())
        extension = message(13, message(1, EXTENSION) + message(2, message(2, yaml)))
        item = message(8, parameter + extension)
        paths += message(2, message(1, path) + message(2, item))
    info = message(1, "Kubernetes") + message(2, version())
    return message(1, "2.0") + message(2, info) + message(8, paths)


def message(number: int, content: str | bytes) -> bytes:
    """Return a field of protobuf that has a length: a text or a message."""
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])
