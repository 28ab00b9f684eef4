"""Tables, as kubectl asks for them: pkg/printers/internalversion/printers.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.facts import since

from hollow_apiserver.objects import age_seconds

if TYPE_CHECKING:
    Thing = dict[str, Any]

WIDE = 1
ROLE = "node-role.kubernetes.io/"
OLD_ROLE = "kubernetes.io/role"
NODE_COLUMNS = (
    ("Name", "string", 0), ("Status", "string", 0), ("Roles", "string", 0), ("Age", "string", 0),
    ("Version", "string", 0), ("Internal-IP", "string", WIDE), ("External-IP", "string", WIDE),
    ("OS-Image", "string", WIDE), ("Kernel-Version", "string", WIDE),
    ("Container-Runtime", "string", WIDE),
)  # fmt: skip
EVENT_COLUMNS = (
    ("Last Seen", "string", 0), ("Type", "string", 0), ("Reason", "string", 0),
    ("Object", "string", 0), ("Subobject", "string", WIDE), ("Source", "string", WIDE),
    ("Message", "string", 0), ("First Seen", "string", WIDE), ("Count", "string", WIDE),
    ("Name", "string", WIDE),
)  # fmt: skip
POD_COLUMNS = (
    ("Name", "string", 0), ("Ready", "string", 0), ("Status", "string", 0),
    ("Restarts", "string", 0), ("Age", "string", 0), ("IP", "string", WIDE),
    ("Node", "string", WIDE), ("Nominated Node", "string", WIDE),
    ("Readiness Gates", "string", WIDE),
)  # fmt: skip
UNKNOWN, NONE = "<unknown>", "<none>"


def table(
    plural: str, things: list[Thing], metadata: Thing, version: str, included: str
) -> dict[str, Any]:
    """Return objects as a Table; ``included`` is Metadata, Object or None."""
    columns, cells = printer(plural)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": name,
                "type": kind,
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": priority,
            }
            for name, kind, priority in columns
        ],
        "rows": [
            {"cells": cells(thing), **included_object(thing, version, included)} for thing in things
        ],
    }


def included_object(thing: Thing, version: str, included: str) -> dict[str, Any]:
    """Return what of an object a row has."""
    if included == "None":
        return {}
    return {"object": thing if included == "Object" else only_metadata(thing, version)}


def only_metadata(thing: Thing, version: str) -> dict[str, Any]:
    """Return an object without all but its metadata."""
    kind = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
    return {**kind, "metadata": thing["metadata"]}


def printer(plural: str) -> Any:
    """Return the columns of a kind, and what makes the cells of an object."""
    if plural == "certificatesigningrequests":
        return request_columns(), request_cells
    found = PRINTERS.get(plural)
    if found:
        return found
    return (("Name", "string", 0), ("Age", "string", 0)), lambda thing: [name(thing), age(thing)]


def name(thing: Thing) -> str:
    """Return an object's name."""
    return str(thing["metadata"]["name"])


def age(thing: Thing) -> str:
    """Return an object's age."""
    return since_time(thing["metadata"].get("creationTimestamp", ""))


def since_time(stamp: str) -> str:
    """Return how long ago a time was."""
    return duration(age_seconds(stamp)) if stamp else UNKNOWN


def duration(seconds: float) -> str:
    """Return a duration in at most two units: HumanDuration in util/duration/duration.go."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return f"{minutes}m" + (f"{whole % 60}s" if whole % 60 else "")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y" + (f"{rest}d" if rest and years < 8 else "")


def node_cells(node: Thing) -> list[Any]:
    """Return the cells of a node: printNode."""
    conditions = {
        one["type"]: one.get("status") for one in node.get("status", {}).get("conditions") or ()
    }
    words = ["Unknown"]
    if "Ready" in conditions:
        words = ["Ready" if conditions["Ready"] == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    info = node.get("status", {}).get("nodeInfo") or {}
    runtime = info.get("containerRuntimeVersion") or UNKNOWN
    return [
        name(node),
        ",".join(words),
        ",".join(sorted(roles(node))) or NONE,
        age(node),
        info.get("kubeletVersion", ""),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        kernel(info),
        runtime,
    ]


def kernel(info: Thing) -> str:
    """Return the version of a node's kernel, from 1.36 on with its architecture (#132402)."""
    shown: str = info.get("kernelVersion") or UNKNOWN
    with_architecture = since(36) and info.get("kernelVersion") and info.get("architecture")
    return f"{shown} ({info['architecture']})" if with_architecture else shown


def roles(node: Thing) -> set[str]:
    """Return the roles that a node's labels give it."""
    found = set()
    for label, value in (node["metadata"].get("labels") or {}).items():
        if label.startswith(ROLE) and label != ROLE:
            found.add(label[len(ROLE) :])
        elif label == OLD_ROLE and value:
            found.add(value)
    return found


def address(node: Thing, kind: str) -> str:
    """Return a node's first address of a type."""
    for one in node.get("status", {}).get("addresses") or ():
        if one.get("type") == kind:
            return str(one.get("address"))
    return NONE


def event_cells(event: Thing) -> list[Any]:
    """Return the cells of an event: printEvent."""
    first = since_time(event.get("firstTimestamp") or event.get("eventTime") or "")
    last = since_time(event.get("lastTimestamp") or "") if event.get("lastTimestamp") else first
    thing = event.get("involvedObject") or {}
    kind = str(thing.get("kind", "")).lower()
    source = event.get("source") or {}
    parts = [source.get("component") or event.get("reportingComponent") or "", source.get("host")]
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{thing['name']}" if thing.get("name") else kind,
        thing.get("fieldPath", ""),
        ", ".join(part for part in parts if part),
        str(event.get("message", "")).strip(),
        first,
        event.get("count") or 1,
        name(event),
    ]


def pod_cells(pod: Thing) -> list[Any]:
    """Return the cells of a pod: printPod, for pods that nothing runs."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    found = status.get("containerStatuses") or ()
    state = status.get("reason") or status.get("phase") or ""
    if pod["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    for one in found:
        waiting = ((one.get("state") or {}).get("waiting") or {}).get("reason")
        state = waiting or state
    return [
        name(pod),
        f"{sum(bool(one.get('ready')) for one in found)}/{len(spec.get('containers') or ())}",
        state,
        str(sum(int(one.get("restartCount") or 0) for one in found)),
        age(pod),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        NONE,
    ]


def request_cells(request: Thing) -> list[Any]:
    """Return the cells of a signing request: printCertificateSigningRequest."""
    spec, status = request.get("spec") or {}, request.get("status") or {}
    kinds = {one.get("type") for one in status.get("conditions") or ()}
    condition = "Approved" if "Approved" in kinds else "Denied" if "Denied" in kinds else "Pending"
    condition += ",Failed" if "Failed" in kinds else ""
    condition += ",Issued" if status.get("certificate") else ""
    cells = [name(request), age(request)]
    if since(18):
        cells.append(spec.get("signerName") or NONE)
    cells.append(spec.get("username") or "")
    if since(22):
        seconds = spec.get("expirationSeconds")
        cells.append(duration(float(seconds)) if seconds else NONE)
    return [*cells, condition]


def request_columns() -> tuple[tuple[str, str, int], ...]:
    """Return the columns of signing requests."""
    columns = ["Name", "Age", *(["SignerName"] if since(18) else []), "Requestor"]
    columns += ["RequestedDuration"] if since(22) else []
    return tuple((column, "string", 0) for column in [*columns, "Condition"])


def ports(service: Thing) -> str:
    """Return a service's ports."""
    found = (service.get("spec") or {}).get("ports") or ()
    return ",".join(f"{one.get('port')}/{one.get('protocol', 'TCP')}" for one in found) or NONE


def endpoints(thing: Thing) -> str:
    """Return the addresses of endpoints."""
    found = [
        f"{one.get('ip')}:{port.get('port')}"
        for subset in thing.get("subsets") or ()
        for one in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more if found else NONE


def plain(*columns: str) -> tuple[tuple[str, str, int], ...]:
    """Return columns of text."""
    return tuple((column, "string", 0) for column in columns)


def size(thing: Thing) -> int:
    """Return how many values a secret or config map has."""
    return len(thing.get("data") or {}) + len(thing.get("binaryData") or {})


def holder(lease: Thing) -> str:
    """Return who holds a lease."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def role_of(binding: Thing) -> str:
    """Return the role of a binding."""
    role = binding.get("roleRef") or {}
    return f"{role.get('kind')}/{role.get('name')}"


PRINTERS: dict[str, Any] = {
    "clusterrolebindings": (
        plain("Name", "Role", "Age"), lambda one: [name(one), role_of(one), age(one)],
    ),
    "clusterroles": (
        plain("Name", "Created At"),
        lambda one: [name(one), one["metadata"].get("creationTimestamp", "")],
    ),
    "configmaps": (plain("Name", "Data", "Age"), lambda one: [name(one), size(one), age(one)]),
    "endpoints": (
        plain("Name", "Endpoints", "Age"), lambda one: [name(one), endpoints(one), age(one)],
    ),
    "events": (EVENT_COLUMNS, event_cells),
    "leases": (plain("Name", "Holder", "Age"), lambda one: [name(one), holder(one), age(one)]),
    "namespaces": (
        plain("Name", "Status", "Age"),
        lambda one: [name(one), (one.get("status") or {}).get("phase", ""), age(one)],
    ),
    "nodes": (NODE_COLUMNS, node_cells),
    "pods": (POD_COLUMNS, pod_cells),
    "rolebindings": (
        plain("Name", "Role", "Age"), lambda one: [name(one), role_of(one), age(one)],
    ),
    "roles": (
        plain("Name", "Created At"),
        lambda one: [name(one), one["metadata"].get("creationTimestamp", "")],
    ),
    "secrets": (
        plain("Name", "Type", "Data", "Age"),
        lambda one: [name(one), one.get("type", ""), size(one), age(one)],
    ),
    "serviceaccounts": (
        plain("Name", "Secrets", "Age"),
        lambda one: [name(one), len(one.get("secrets") or ()), age(one)],
    ),
    "services": (
        plain("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"),
        lambda one: [
            name(one), (one.get("spec") or {}).get("type", "ClusterIP"),
            (one.get("spec") or {}).get("clusterIP") or NONE, NONE, ports(one), age(one),
        ],
    ),
}  # fmt: skip
"""The columns of each kind, and what makes the cells of an object."""
