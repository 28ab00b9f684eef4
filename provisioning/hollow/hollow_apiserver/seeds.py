"""The objects that every cluster has: namespaces, access rules, the service of the API itself."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since

from hollow_apiserver.failures import RequestFailure
from hollow_apiserver.kinds import RBAC, Kind, stored
from hollow_apiserver.objects import prepare_new
from hollow_apiserver.policy import (
    binding_object,
    cluster_role_bindings,
    cluster_roles,
    role_object,
)
from hollow_apiserver.requests import User

if TYPE_CHECKING:
    from hollow_apiserver.storage import Storage

ITSELF = User("system:apiserver", ("system:masters",))


def sow(storage: Storage, service_range: str, address: str, port: int) -> None:
    """Create what is missing."""
    names = ["default", "kube-system", "kube-public", *(["kube-node-lease"] if since(13) else [])]
    there = {thing["metadata"]["name"] for thing in storage.list(stored("namespaces"))}
    for name in names:
        if name not in there:
            create(storage, stored("namespaces"), "", named("Namespace", name))
            create(storage, stored("serviceaccounts"), name, named("ServiceAccount", "default"))
    roles, bindings = stored("clusterroles", RBAC), stored("clusterrolebindings", RBAC)
    there = {thing["metadata"]["name"] for thing in storage.list(roles)}
    for name, rules in cluster_roles().items():
        if name not in there:
            create(storage, roles, "", role_object(name, rules))
    there = {thing["metadata"]["name"] for thing in storage.list(bindings)}
    for name, (role, groups) in cluster_role_bindings().items():
        if name not in there:
            create(storage, bindings, "", binding_object(name, role, groups))
    first = str(ipaddress.ip_network(service_range.split(",")[0], strict=False)[1])
    create(storage, stored("services"), "default", service(first, port))
    create(storage, stored("endpoints"), "default", endpoints(address, port))
    storage.update(stored("endpoints"), "default", "kubernetes", lambda one: joined(one, address))


def create(storage: Storage, kind: Kind, namespace: str, thing: dict[str, Any]) -> None:
    """Create an object unless it is there; another server may be at it, too."""
    if storage.find(kind, namespace, thing["metadata"]["name"]):
        return
    try:
        storage.create(kind, namespace, prepare_new(kind, thing, namespace, "", ITSELF))
    except RequestFailure as failure:
        if failure.code != 409:
            raise


def named(kind: str, name: str) -> dict[str, Any]:
    """Return an object of the core group that has but a name."""
    return {"kind": kind, "apiVersion": "v1", "metadata": {"name": name}}


NO_SLICES = {"endpointslice.kubernetes.io/skip-mirror": "true"}
FAMILIES = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
AFFINITY = {
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
}
LABELS = {"component": "apiserver", "provider": "kubernetes"}


def service(address: str, port: int) -> dict[str, Any]:
    """Return the service of the API."""
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "kubernetes", "labels": LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            **(FAMILIES | {"clusterIPs": [address]} if since(20) else {}),
            **({"internalTrafficPolicy": "Cluster"} if since(22) else {}),
            **(AFFINITY if not since(14) else {"sessionAffinity": "None"}),
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
        "status": {"loadBalancer": {}},
    }


def joined(thing: dict[str, Any], address: str) -> dict[str, Any]:
    """Return the endpoints of the API with this server among them."""
    subset = (thing.get("subsets") or [{}])[0]
    there = {str(one.get("ip")) for one in subset.get("addresses") or ()}
    addresses = [{"ip": one} for one in sorted({*there, address})]
    return {**thing, "subsets": [{**subset, "addresses": addresses}]}


def endpoints(address: str, port: int) -> dict[str, Any]:
    """Return the endpoints of the API."""
    return {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {"name": "kubernetes", **({"labels": NO_SLICES} if since(20) else {})},
        "subsets": [
            {
                "addresses": [{"ip": address}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }
