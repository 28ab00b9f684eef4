"""Patches: JSON patch, merge patch and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from hollow_common.facts import since

from hollow_apiserver.failures import RequestFailure, bad_request, plain_failure

MERGE_KEYS = {
    "addresses": "type", "conditions": "type", "containerStatuses": "name", "containers": "name",
    "env": "name", "imagePullSecrets": "name", "initContainers": "name", "ownerReferences": "uid",
    "ports": "containerPort", "secrets": "name", "volumeMounts": "mountPath", "volumes": "name",
}  # fmt: skip
"""Lists whose items a strategic merge patch merges, by the key that names an item.

k8s.io/api/core/v1/types.go: ``patchMergeKey``. Taints, images and tolerations are replaced.
"""
UNIONS = {"finalizers"}
"""Lists of plain values that a strategic merge patch adds to."""


def apply_patch(kind: str, thing: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return an object with a patch of a media type applied."""
    if kind == "application/json-patch+json":
        if not isinstance(patch, list):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        return json_patch(thing, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map")
    if kind == "application/merge-patch+json":
        return dict(merge_patch(thing, patch))
    return strategic_patch(thing, patch)


def merge_patch(before: Any, patch: Any) -> Any:
    """Apply a merge patch: RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_patch(before: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a strategic merge patch: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    result = dict(before)
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            result[field] = [one for one in result.get(field) or () if one not in value]
        elif name.startswith("$setElementOrder/"):
            order_list(result, patch, name.partition("/")[2], value)
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = strategic_patch(old if isinstance(old, dict) else {}, value)
        elif isinstance(value, list):
            result[name] = strategic_list(name, result.get(name) or [], value)
        else:
            result[name] = value
    for name in [key for key in patch if key.startswith("$setElementOrder/")]:
        order_list(result, patch, name.partition("/")[2], patch[name])
    return result


def strategic_list(field: str, before: list[Any], patch: list[Any]) -> list[Any]:
    """Merge a list by its items' keys, or replace it."""
    key = MERGE_KEYS.get(field)
    if field in UNIONS:
        return before + [one for one in patch if one not in before]
    if key is None or not all(isinstance(one, dict) for one in (*before, *patch)):
        return patch
    if any(one.get("$patch") == "replace" for one in patch):
        return [one for one in patch if one.get("$patch") != "replace"]
    result = list(before)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, one in enumerate(result) if one.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [one for one in result if one.get(key) != item[key]]
        elif place is None:
            result.append(strategic_patch({}, item))
        else:
            result[place] = strategic_patch(result[place], item)
    return result


def order_list(result: dict[str, Any], patch: dict[str, Any], field: str, order: Any) -> None:
    """Sort a list as a patch says; what it does not name keeps its place behind."""
    key = MERGE_KEYS.get(field)
    names = [one.get(key) if key and isinstance(one, dict) else one for one in order]

    def place(item: Any) -> int:
        name = item.get(key) if key and isinstance(item, dict) else item
        return names.index(name) if name in names else len(names)

    if isinstance(result.get(field), list):
        result[field] = sorted(result[field], key=place)


def json_patch(thing: dict[str, Any], operations: list[Any]) -> dict[str, Any]:
    """Apply a JSON patch: RFC 6902."""
    holder = {"root": copy.deepcopy(thing)}
    for operation in operations:
        try:
            one_operation(holder, operation)
        except (LookupError, ValueError, TypeError, AttributeError):
            raise unprocessable(operation) from None
    return dict(holder["root"])


def unprocessable(operation: Any) -> RequestFailure:
    """Return the failure of an operation that does not fit the object."""
    if since(14):
        text = "the server rejected our request due to an error in our request"
        return RequestFailure(422, "Invalid", text, {})
    kind = operation.get("op") if isinstance(operation, dict) else operation
    path = str(operation.get("path")) if isinstance(operation, dict) else ""
    if kind == "test":
        return plain_failure(f"Testing value {path} failed")
    return plain_failure(f"Unable to {kind} nonexistent key: {path.rpartition('/')[2]}")


def one_operation(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    """Apply one operation."""
    kind, path = operation["op"], operation["path"]
    if kind in ("move", "copy"):
        parent, name = locate(holder, operation["from"])
        value = copy.deepcopy(parent[name])
        if kind == "move":
            del parent[name]
        add(*locate(holder, path), value)
        return
    parent, name = locate(holder, path)
    if kind == "add":
        add(parent, name, operation["value"])
    elif kind == "remove":
        del parent[name]
    elif kind == "replace":
        _ = parent[name]
        parent[name] = operation["value"]
    elif kind == "test":
        found = parent.get(name) if isinstance(parent, dict) else parent[name]
        if found != operation.get("value"):
            raise ValueError(path)
    else:
        raise ValueError(kind)


def add(parent: Any, name: Any, value: Any) -> None:
    """Set a field, or insert into a list."""
    if isinstance(parent, list):
        parent.insert(name, value)
    else:
        parent[name] = value


def locate(holder: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Return what a path is in, and its name or index there."""
    parent: Any = holder
    words = ["root", *[word.replace("~1", "/").replace("~0", "~") for word in path.split("/")[1:]]]
    for place, word in enumerate(words):
        name: Any = word
        if isinstance(parent, list):
            name = len(parent) if word == "-" else int(word)
            if not 0 <= name <= len(parent):
                raise IndexError(word)
        if place == len(words) - 1:
            return parent, name
        parent = parent[name]
    raise ValueError(path)
