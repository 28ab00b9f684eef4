"""What the server makes of an object that a client sends: defaults, and what a client cannot set.

The strategies in pkg/registry and the defaults in pkg/apis of Kubernetes' sources.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import go_json, quote, timestamp
from hollow_common.labels import (
    DNS_SUBDOMAIN,
    label_value_problems,
    qualified_name_problems,
)

from hollow_apiserver.failures import bad_request, conflict, invalid, plain_failure

if TYPE_CHECKING:
    from hollow_apiserver.kinds import Kind
    from hollow_apiserver.requests import User

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
FIXED = ("name", "namespace", "uid", "creationTimestamp", "generateName", "deletionTimestamp")
"""Metadata that an update cannot change."""
NODE_INFO = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
    "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture",
)  # fmt: skip
WITH_STATUS = ("nodes", "namespaces", "pods", "services", "certificatesigningrequests")
COUNTED = ("csidrivers", "services")
NAME_ADVICE = (
    "must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
PATH_NAMES = (
    "certificatesigningrequests", "clusterroles", "clusterrolebindings", "roles", "rolebindings",
)  # fmt: skip
"""Kinds whose names have to be a part of a path, and nothing more."""


def prepare_new(
    kind: Kind, thing: dict[str, Any], namespace: str, name: str, user: User
) -> dict[str, Any]:
    """Return a new object as it is stored."""
    metadata = dict(thing.get("metadata") or {})
    if metadata.get("resourceVersion"):
        raise plain_failure("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + "".join(random.choices(SUFFIX, k=5))
    if not metadata.get("name"):
        raise invalid(
            kind, "", ("metadata.name", "FieldValueRequired",
                       "Required value: name or generateName is required"),
        )  # fmt: skip
    if name and metadata["name"] != name:
        problem = f"({name}) does not match the name on the object ({metadata['name']})"
        raise bad_request(f"the name of the object {problem}")
    metadata = with_namespace(kind, metadata, namespace)
    for field in ("selfLink", "deletionTimestamp", "managedFields", "resourceVersion"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()
    thing = {**thing, "metadata": metadata}
    thing = defaulted(kind, thing, user)
    validate(kind, thing)
    return thing


def with_namespace(kind: Kind, metadata: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return metadata with the namespace that a request is for."""
    given = metadata.get("namespace") or ""
    if not kind.namespaced:
        return {name: value for name, value in metadata.items() if name != "namespace"}
    if given and given != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return {**metadata, "namespace": namespace}


def prepare_changed(
    kind: Kind, before: dict[str, Any], thing: dict[str, Any], subresource: str
) -> dict[str, Any]:
    """Return a changed object as it is stored: a change of its status, or of all but that."""
    metadata = dict(thing.get("metadata") or {})
    old = before["metadata"]
    asked, there = metadata.get("resourceVersion"), old["resourceVersion"]
    if asked and asked != there:
        raise conflict(kind, old["name"])
    if metadata.get("name") not in (None, "", old["name"]):
        problem = f"({metadata['name']}) does not match the name on the URL ({old['name']})"
        raise bad_request(f"the name of the object {problem}")
    if metadata.get("uid") not in (None, "", old.get("uid")):
        problem = f"UID in precondition: {metadata['uid']}, UID in object meta: {old['uid']}"
        raise conflict(kind, old["name"], f"Precondition failed: {problem}")
    metadata = {name: value for name, value in metadata.items() if name not in FIXED}
    metadata |= {name: old[name] for name in FIXED if name in old}
    for field in ("selfLink", "managedFields"):
        metadata.pop(field, None)
    metadata["resourceVersion"] = there
    result = {**thing, "metadata": metadata}
    if subresource in ("status", "approval"):
        result = only_status(kind, before, result, subresource)
    elif kind.plural in WITH_STATUS:
        result.pop("status", None)
        if "status" in before:
            result["status"] = before["status"]
        if kind.plural == "certificatesigningrequests":
            result["spec"] = before["spec"]
    if kind.plural in ("configmaps", "secrets") and before.get("immutable"):
        forbid_change(kind, before, result)
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if field in metadata and not metadata[field]:
            del metadata[field]
    if kind.plural == "nodes":
        result["spec"] = {name: value for name, value in result["spec"].items() if value}
    validate(kind, result, times=2 if kind.plural == "nodes" else 1)
    return result


def only_status(
    kind: Kind, before: dict[str, Any], result: dict[str, Any], subresource: str
) -> dict[str, Any]:
    """Return the object that was there with the status, and the metadata, of a changed one."""
    status = result.get("status") or {}
    changed = {**before, "status": status}
    if kind.plural == "certificatesigningrequests":
        old = before.get("status") or {}
        conditions = status.get("conditions") or []
        if subresource == "approval":
            status = {**old, "conditions": [stamped(one) for one in conditions]}
        else:
            status = {**status, "conditions": old.get("conditions")}
            if not status["conditions"]:
                del status["conditions"]
        return {**before, "status": status}
    changed["metadata"] = result["metadata"]
    if kind.plural in ("nodes", "pods"):  # a status update may set labels and annotations
        changed["metadata"] = {**before["metadata"], **result["metadata"]}
        for field in ("labels", "annotations"):
            if field not in result["metadata"]:
                changed["metadata"].pop(field, None)
    return changed


def stamped(condition: dict[str, Any]) -> dict[str, Any]:
    """Return a condition of a signing request with what the server sets."""
    now = timestamp()
    return {
        "status": "True",
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        **{name: value for name, value in condition.items() if value is not None},
    }


def forbid_change(kind: Kind, before: dict[str, Any], result: dict[str, Any]) -> None:
    """Refuse a change of what was declared immutable."""
    for field in ("data", "binaryData", "stringData"):
        if before.get(field) != result.get(field):
            problem = "Forbidden: field is immutable when `immutable` is set"
            raise invalid(kind, before["metadata"]["name"], (field, "FieldValueForbidden", problem))


def defaulted(kind: Kind, thing: dict[str, Any], user: User) -> dict[str, Any]:
    """Return a new object with the defaults of its kind."""
    thing = dict(thing)
    metadata = thing["metadata"]
    if kind.plural == "nodes":
        thing.setdefault("spec", {})
        thing["spec"] = {name: value for name, value in thing["spec"].items() if value}
        status = dict(thing.get("status") or {})
        status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
        status["nodeInfo"] = {**dict.fromkeys(NODE_INFO, ""), **(status.get("nodeInfo") or {})}
        thing["status"] = status
        if not since(11):
            thing["spec"].setdefault("externalID", metadata["name"])
        for taint in thing["spec"].get("taints") or ():
            if taint.get("timeAdded") is None:
                taint.pop("timeAdded", None)
    elif kind.plural == "namespaces":
        thing["spec"] = {"finalizers": ["kubernetes"]}
        thing["status"] = {"phase": "Active"}
        if since(21):
            label = {"kubernetes.io/metadata.name": metadata["name"]}
            metadata["labels"] = {**(metadata.get("labels") or {}), **label}
    elif kind.plural == "secrets":
        thing.setdefault("type", "Opaque")
        thing = decoded_secret(thing)
    elif kind.plural == "pods":
        thing["spec"] = {
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            **(thing.get("spec") or {}),
        }  # fmt: skip
        thing["status"] = {"phase": "Pending", **(thing.get("status") or {})}
    elif kind.plural == "events" and since(9):
        thing = {"source": {}, "reportingComponent": "", "reportingInstance": "", **thing}
    elif kind.plural == "certificatesigningrequests":
        spec = dict(thing.get("spec") or {})
        spec["username"] = user.name
        spec["groups"] = list(user.groups)
        for field in ("uid", "extra"):
            spec.pop(field, None)
        if user.extra:
            spec["extra"] = dict(user.extra)
        thing["spec"] = spec
        thing["status"] = {}
    return thing


def decoded_secret(thing: dict[str, Any]) -> dict[str, Any]:
    """Return a secret with its stringData moved to data."""
    import base64

    plain = thing.pop("stringData", None) or {}
    if plain:
        data = {name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}
        thing["data"] = {**(thing.get("data") or {}), **data}
    return thing


def validate(kind: Kind, thing: dict[str, Any], times: int = 1) -> None:
    """Refuse what no version of the server accepts: pkg/apis/core/validation.

    ``times`` is how often the real server checks it: its causes are repeated.
    """
    metadata = thing["metadata"]
    name = metadata["name"]
    causes: list[tuple[str, str, str]] = []
    fits = len(name) <= 253 and bool(re.fullmatch(DNS_SUBDOMAIN, name))
    if kind.plural in PATH_NAMES:
        fits = name not in (".", "..") and "/" not in name and "%" not in name
    if kind.plural == "events":
        fits = bool(name)
    if not fits:
        kind_of_name = "a lowercase RFC 1123 subdomain" if since(20) else "a DNS-1123 subdomain"
        problem = f"Invalid value: {quote(name)}: {kind_of_name} {NAME_ADVICE}"
        causes.append(("metadata.name", "FieldValueInvalid", problem))
    for key, value in (metadata.get("labels") or {}).items():
        for problem in qualified_name_problems(key):
            text = f"Invalid value: {quote(key)}: {problem}"
            causes.append(("metadata.labels", "FieldValueInvalid", text))
        for problem in label_value_problems(str(value)):
            text = f"Invalid value: {quote(str(value))}: {problem}"
            causes.append(("metadata.labels", "FieldValueInvalid", text))
    for key in metadata.get("annotations") or {}:
        for problem in qualified_name_problems(key.lower()):
            text = f"Invalid value: {quote(key)}: {problem}"
            causes.append(("metadata.annotations", "FieldValueInvalid", text))
    if kind.plural == "nodes":
        causes += taint_causes(thing.get("spec", {}).get("taints") or [])
    if causes:
        raise invalid(kind, name, *causes * times)


def taint_causes(taints: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the problems with a node's taints: validateNodeTaints."""
    causes = []
    seen = set()
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    for place, taint in enumerate(taints):
        field = f"metadata.taints[{place}]"
        for problem in qualified_name_problems(str(taint.get("key", ""))):
            text = f"Invalid value: {quote(str(taint.get('key', '')))}: {problem}"
            causes.append((f"{field}.key", "FieldValueInvalid", text))
        for problem in label_value_problems(str(taint.get("value") or "")):
            text = f"Invalid value: {quote(str(taint.get('value')))}: {problem}"
            causes.append((f"{field}.value", "FieldValueInvalid", text))
        if taint.get("effect") not in effects:
            listed = ", ".join(map(quote, effects) if since(8) else effects)
            text = f"Unsupported value: {quote(str(taint.get('effect', '')))}: supported values: "
            causes.append((f"{field}.effect", "FieldValueNotSupported", text + listed))
        pair = taint.get("key"), taint.get("effect")
        if pair in seen:
            shown = go_struct(taint) if not since(30) else go_json(go_fields(taint))
            text = f"Duplicate value: {shown}: taints must be unique by key and effect pair"
            causes.append((field, "FieldValueDuplicate", text))
        seen.add(pair)
    return causes


def go_fields(taint: dict[str, Any]) -> dict[str, Any]:
    """Return a taint by the names of its fields in Go."""
    names = {"Key": "key", "Value": "value", "Effect": "effect"}
    found: dict[str, Any] = {name: str(taint.get(key) or "") for name, key in names.items()}
    return {**found, "TimeAdded": taint.get("timeAdded")}


def go_struct(taint: dict[str, Any]) -> str:
    """Return a taint as Go's %#v prints it."""
    fields = go_fields(taint)
    words = [f"{name}:{quote(fields[name])}" for name in ("Key", "Value", "Effect")]
    return f"core.Taint{{{', '.join(words)}, TimeAdded:<nil>}}"


def age_seconds(stamp: str) -> float:
    """Return how long ago a time of the API was."""
    import calendar

    found = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp or "")
    if not found:
        return 0.0
    return time.time() - calendar.timegm(time.strptime(found[0], "%Y-%m-%dT%H:%M:%S"))
