"""A node written down as the kubecluster.toml that it satisfies, by its API server alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.pin import Pin, document_of, registered, spec_from, statable, toml_of
from pytest_kubecluster.nodes.verdict import Case, differences_of
from pytest_kubecluster.spec.kinds import configz_shows
from pytest_kubecluster.spec.model import Role
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.settings import (
    configuration_settings,
    effective_settings,
)
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

LEFT_OUT = "kubeconfig, identity, unit, files, host, and settings that /configz does not show"
"""What of a spec file only ssh can see."""

_SECRET = frozenset({"staticPodURL", "staticPodURLHeader", "manifest-url", "manifest-url-header"})
"""Settings that may hold a token."""
_OWN_CERTIFICATE = ("/kubelet.crt", "/kubelet.key")
"""What a kubelet that is given no certificate makes in --cert-dir, and /configz shows as given.

From InitializeTLS in cmd/kubelet/app/server.go.
"""
_ONE_OF_EACH_FAMILY = 2


def pin_through_api(node: Node, *, minimal: bool = False) -> Pin:
    """Look at a node through its API server and return the spec file that it satisfies.

    With ``minimal``, settings that are the version's default are left out. Raises KubeClusterError
    if there is no such node, or its version is not known.
    """
    return pin_of(node.look_through_api(), node.name, node.role, minimal=minimal)


def pin_of(view: ApiView, name: str, role: Role, *, minimal: bool = False) -> Pin:
    """Return the spec file that a node satisfies, as its API server shows it."""
    if view.object is None:
        raise KubeClusterError(f"the API server {view.server} has no {view.place}")
    try:
        version = KubeVersion.parse_known(view.object.kubelet_version)
    except ValueError as error:
        raise KubeClusterError(f"{name}: {error}") from None
    # What the vendor of the build calls it is not part of what a node must be.
    version = replace(version, build="")
    document = document_of(name, version, described(view, version, minimal=minimal))
    spec = spec_from(document, Machine(name, role, NO_ADDRESS), version, "found")[name]
    case = Case(None, statements_of(spec), spec.kubelet, lambda: view)
    return Pin(toml_of(document), tuple(differences_of(case)))


def described(view: ApiView, version: KubeVersion, *, minimal: bool = False) -> dict[str, Any]:
    """Return the table of a node in a spec file: what the API server shows and a spec can state."""
    seen = view.object
    assert seen is not None
    table: dict[str, Any] = {}
    if addresses := _node_ip(seen):
        table["node_ip"] = addresses
    table.update(registered(seen, minimal=minimal))
    if settings := dict(_settings(view.configz, version, minimal=minimal)):
        table["settings"] = settings
    return table


def _node_ip(seen: NodeObject) -> list[str]:
    """Return the addresses of ``--node-ip``; none where a cloud gave the node several."""
    texts = list(seen.addresses_of("InternalIP"))
    families = {ip_address(text).version for text in texts}
    return texts if len(texts) == len(families) <= _ONE_OF_EACH_FAMILY else []


def _settings(
    configz: Mapping[str, Any], version: KubeVersion, *, minimal: bool
) -> Iterator[tuple[str, Any]]:
    defaults = effective_settings(version, {}, {}) if minimal else {}
    shown = (
        one
        for one in configuration_settings(version, configz, "/configz").values()
        if one.name not in _SECRET and configz_shows(version, one.name)
        if not (one.name.startswith("tls") and str(one.value).endswith(_OWN_CERTIFICATE))
    )
    yield from statable(version, shown, defaults)
