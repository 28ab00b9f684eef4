"""A running node, written down as the kubecluster.toml that its kubelet satisfies."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import tomlkit

from pytest_kubecluster.artifacts.pki import ensure_pki
from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec, spec_of
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.kubelet import Kubelet
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import difference_table
from pytest_kubecluster.spec.flags import TRUE, same_value
from pytest_kubecluster.spec.model import KubeletSpec, NodeSpec, Role
from pytest_kubecluster.spec.parts import Label
from pytest_kubecluster.spec.specfile import NAME, read_spec_file
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "allow-privileged": ("allow_privileged", TRUE.__contains__),
    "anonymous-auth": ("anonymous_auth", TRUE.__contains__),
    "client-ca-file": ("client_ca_file", str),
    "cluster-dns": ("cluster_dns", lambda text: str(IPv4Address(text))),
    "cluster-domain": ("cluster_domain", str),
    "cni-conf-dir": ("cni_conf_dir", str),
    "kubeconfig": ("kubeconfig", str),
    "lock-file": ("lock_file", str),
    "network-plugin": ("network_plugin", str),
    "pod-manifest-path": ("manifests", str),
    "register-with-taints": ("taints", lambda text: text.split(",")),
}
"""What of a spec a file calls otherwise than the flag."""


def pin_node(name: str, role: Role, access: Access, *, own: bool = False) -> str:
    """Look at a node and return the TOML of a spec whose kubelet is its kubelet.

    What is said there is what differs from the seed's node of the same version and role, and where
    the API server is, if the machine is the user's ``own``; comments name what cannot be said so.
    Raises KubeClusterError if no kubelet runs there, or none that is known.
    """
    view = _node(name, role, access, cluster_spec()["worker01"].kubelet).look()
    if not view.running:
        raise KubeClusterError(f"{name}: no kubelet runs there")
    version = _version(name, view)
    kubelet = cluster_spec(version=version)[f"{role}01"].kubelet
    path = re.findall(r"--config[= ](\S+)", view.command_line_text)
    kubelet = replace(kubelet, config_path=path[-1]) if path else kubelet
    view = _node(name, role, access, kubelet).look()
    kubelet = replace(
        kubelet,
        node_ips=(view.node_ip,) if view.node_ip else kubelet.node_ips,
        cgroup_v1=view.settings.get("fail-cgroupv1") == "false",
        swap=view.settings.get("fail-swap-on") == "false",
    )
    server = ""
    if own:
        (cluster, *_) = view.kubeconfig.get("clusters") or [{}]
        server = cluster.get("cluster", {}).get("server", "")
    document = _document(name, version, server, _differing(view, kubelet))
    machine = Machine(name, role, _address(kubelet))
    return "".join([*_unsaid(document, machine, version, access), tomlkit.dumps(document)])


def _node(name: str, role: Role, access: Access, kubelet: KubeletSpec) -> Node:
    return Node(NodeSpec(name, role, _address(kubelet), kubelet), access)


def _address(kubelet: KubeletSpec) -> IPv4Address:
    return kubelet.node_ip if isinstance(kubelet.node_ip, IPv4Address) else IPv4Address(0)


def _version(name: str, view: Kubelet) -> KubeVersion:
    """Return the version that runs, as the unit's image tag has it where there is one."""
    version = view.version
    if version is None:
        raise KubeClusterError(f"{name}: its kubelet does not say its version")
    if not version.known:
        raise KubeClusterError(f"{name}: kubelet {version.number} is not known, only {KNOWN}")
    units = [file.text for _, file in view.unit_files.values() if file]
    tag = re.search(r'KUBELET_IMAGE_TAG="?([\w.-]+)', "".join(units))
    with suppress(ValueError):
        if tag and (told := KubeVersion.parse(tag[1])).number == version.number:
            return told
    return version


def _differing(view: Kubelet, kubelet: KubeletSpec) -> dict[str, Any]:
    """Return the keys of the node's table: what the seed's kubelet is not told like that."""
    table: dict[str, Any] = {}
    flags: dict[str, str] = {}
    minor = kubelet.version.minor_version
    if labels := _labels_beside_its_own(view, kubelet):
        table["labels"] = {label.key: label.value for label in labels}
        kubelet = replace(kubelet, labels=(*kubelet.labels, *labels))
    wanted, told = kubelet.settings, view.settings
    for name, value in told.items():
        moved = name in view.flags and name in kubelet.config
        if name == "config" or (not moved and same_value(name, wanted.get(name), value, minor)):
            continue
        if name in _KEYS and not moved:
            key, read = _KEYS[name]
            with suppress(ValueError):
                table[key] = read(value)
                continue
        flags[name] = value
    missing = [name for name in wanted if name not in told]
    if kubelet.config and "config" not in view.flags:
        missing.append("config")
    for trait, flag in (("cgroup_v1", "fail-cgroupv1"), ("swap", "fail-swap-on")):
        if getattr(kubelet, trait) and flag in wanted:
            table[trait] = True
    if kubelet.config and kubelet.config_path != "/etc/kubernetes/kubelet.yaml":
        table["config_path"] = kubelet.config_path
    files = ((file, view.files[file.path]) for file in kubelet.files)
    modes = {w.name: f"{s.mode:04o}" for w, s in files if s and s.mode != w.mode}
    return {
        **table,
        **({"modes": modes} if modes else {}),
        **({"flags": flags} if flags else {}),
        **({"remove_flags": missing} if missing else {}),
    }


def _labels_beside_its_own(view: Kubelet, kubelet: KubeletSpec) -> tuple[Label, ...]:
    """Return the labels that make the kubelet's its node's, if any added to its own do."""
    labels = tuple(Label(key, value) for key, value in view.labels.items())
    labels = tuple(label for label in labels if label not in kubelet.labels)
    told = replace(kubelet, labels=(*kubelet.labels, *labels)).node_labels
    # Their order is part of the command line.
    return labels if list(told.items()) == list(view.labels.items()) else ()


def _unsaid(
    document: Mapping[str, Any], machine: Machine, version: KubeVersion, access: Access
) -> Iterator[str]:
    """Yield comments about what the node is otherwise than the document makes it."""
    cluster = replace(spec_of([machine], None, version), api_server_url="https://unsaid")
    *_, (_, cluster) = read_spec_file(Path(NAME), document).steps(cluster)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(cluster, ensure_pki(folder / "pki"), folder, foreign_pki=True)
        node = Node(cluster[machine.name], replace(access, files=str(folder / machine.name)))
        differences = node.look().differences(node.spec.kubelet)
    yield f"# what {machine.name} was seen to be"
    yield ", but for what no such file can say:\n" if differences else "\n"
    for line in difference_table(differences) if differences else ():
        yield f"#   {line}\n"


def _document(
    name: str, version: KubeVersion, api_server: str, table: Mapping[str, Any]
) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document["version"] = str(version) if version.build else version.number
    if api_server:
        document["api_server"] = api_server
    document["node"] = {name: dict(table)}
    return document
