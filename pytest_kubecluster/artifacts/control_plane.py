"""What a master needs for its part of the control plane: certificates, kubeconfigs and units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives import serialization

from pytest_kubecluster.artifacts import certificates
from pytest_kubecluster.artifacts.certificates import KeyPair, Request, subject
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.artifacts.render import render
from pytest_kubecluster.spec.control_plane import (
    ETCD,
    FOLDER,
    TARGET,
    Component,
    api_server_url,
    component_flags,
    etcd_flags,
    pod_network,
    signs_certificates,
)
from pytest_kubecluster.spec.flags import Flags
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.encoding import base64_text

ADMIN = "admin"
CNI_FOLDER = "/etc/cni/net.d"
"""Where container runtimes look for the configuration of the pod network by default."""
_UNITS = "/etc/systemd/system"
_LOCALHOST = ip_address("127.0.0.1")
_SECRET, _PUBLIC = 0o600, 0o644
_DESCRIPTIONS: Mapping[str, str] = {
    ETCD: "etcd",
    "kube-apiserver": "Kubernetes API server",
    "kube-controller-manager": "Kubernetes controller manager",
    "kube-scheduler": "Kubernetes scheduler",
}


@dataclass(frozen=True)
class PlacedFile:
    """A file of a node: its path there, its content, mode and owner."""

    path: str
    content: bytes = field(repr=False)
    mode: int = _PUBLIC
    owner: str = "root"


def control_plane_files(
    cluster: ClusterSpec, node: NodeSpec, pki: Pki, programs: Mapping[Component, str]
) -> Iterator[PlacedFile]:
    """Yield the files of a master; ``programs`` are the commands that start its components.

    Raises KubeClusterError if keys cannot be written to the folder of ``pki``.
    """
    yield from _etcd_keys(node, pki)
    yield from _api_server_keys(cluster, node, pki)
    for component, identity in _IDENTITIES.items():
        if component in programs:
            config = kubeconfig(api_server_url(cluster, node.address), pki, component, identity)
            yield PlacedFile(f"{FOLDER}/{component}.kubeconfig", config, _SECRET)
    plane = cluster.control_plane
    assert plane is not None
    if "kube-controller-manager" in programs or (plane.hollow and signs_certificates(cluster)):
        # What signs the certificates that kubelets ask for.
        yield PlacedFile(f"{FOLDER}/ca.key", pki.ca_key, _SECRET)
    yield _unit(ETCD, "/usr/bin/etcd", etcd_flags(cluster, node), user="etcd")
    for component, program in programs.items():
        yield _unit(component, program, component_flags(cluster, node, component))
    units = [f"{name}.service" for name in (ETCD, *programs)]
    yield PlacedFile(f"{_UNITS}/{TARGET}", render(TARGET, units=units))


def admin_kubeconfig(cluster: ClusterSpec, pki: Pki, path: Path) -> Path:
    """Write the kubeconfig of an administrator to ``path``, readable by its owner only.

    It names certificates and key by their paths on this host, and has a context for each master;
    the current one is the server that kubelets use.
    """
    pki.issued(ADMIN, certificates.user("kubernetes-admin", "system:masters", key_type="ecdsa"))
    folder = pki.directory
    servers = {node.name: api_server_url(cluster, node.address) for node in cluster.masters}
    user = {
        "client-certificate": str(folder / f"{ADMIN}.crt"),
        "client-key": str(folder / f"{ADMIN}.key"),
    }
    authority = {"certificate-authority": str(pki.ca_cert_path)}
    content = _kubeconfig({"cluster": cluster.api_server, **servers}, authority, ADMIN, user)
    write_atomically(path, content, _SECRET)
    return path


def pod_network_file(cluster: ClusterSpec, node: NodeSpec) -> PlacedFile:
    """Return a configuration of the pod network, without which no node is Ready.

    A bridge on each node, with a subnet of its own: pods of other nodes are not reached. Its name
    sorts behind that of any other configuration, which a playbook may bring.
    """
    document = {
        # The newest that the kubelet of 1.7 reads.
        "cniVersion": "0.3.1",
        "name": "pods",
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "subnet": str(pod_network(cluster, node))},
    }
    folder = node.kubelet.cni_conf_dir or CNI_FOLDER
    return PlacedFile(f"{folder}/99-bridge.conf", json.dumps(document, indent=1).encode())


def etcd_client(pki: Pki) -> tuple[Path, Path, Path]:
    """Return the paths of etcd's CA, and of a client's certificate and key, on this host."""
    authority = pki.other_authority("etcd/ca", subject("etcd-ca"))
    pki.issued("etcd/client", _ETCD_CLIENT, authority)
    folder = pki.directory / "etcd"
    return folder / "ca.crt", folder / "client.crt", folder / "client.key"


def kubeconfig(server: str, pki: Pki, name: str, identity: Request) -> bytes:
    """Return the kubeconfig of a client of the API server at ``server``, with all it needs."""
    pair = pki.issued(name, identity)
    user = {
        "client-certificate-data": base64_text(pair.cert),
        "client-key-data": base64_text(pair.key),
    }
    authority = {"certificate-authority-data": base64_text(pki.ca_cert)}
    return _kubeconfig({"cluster": server}, authority, name, user)


def _kubeconfig(
    servers: Mapping[str, str],
    authority: Mapping[str, str],
    name: str,
    user: Mapping[str, str],
) -> bytes:
    """Return a kubeconfig with a context for each server, by name; the first is the current."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": one, "cluster": {"server": server, **authority}}
            for one, server in servers.items()
        ],
        "users": [{"name": name, "user": {**user}}],
        "contexts": [{"name": one, "context": {"cluster": one, "user": name}} for one in servers],
        "current-context": next(iter(servers)),
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


_IDENTITIES: Mapping[Component, Request] = {
    "kube-controller-manager": certificates.user("system:kube-controller-manager"),
    "kube-scheduler": certificates.user("system:kube-scheduler"),
}


_ETCD_CLIENT = certificates.user("kube-apiserver-etcd-client", key_type="ecdsa")


def _etcd_keys(node: NodeSpec, pki: Pki) -> Iterator[PlacedFile]:
    """Yield what etcd and its clients on a master need: a CA of their own, as kubeadm's."""
    authority = pki.other_authority("etcd/ca", subject("etcd-ca"))
    # A member is a client of the others, and its JSON gateway one of itself.
    member = certificates.server(
        node.name,
        (node.name, "localhost"),
        (node.address, _LOCALHOST),
        client=True,
        key_type="ecdsa",
    )
    pair = pki.issued(f"etcd/{node.name}", member, authority)
    client = pki.issued("etcd/client", _ETCD_CLIENT, authority)
    yield PlacedFile(f"{FOLDER}/etcd/ca.crt", authority.cert)
    yield from _pair(f"{FOLDER}/etcd/server", pair, owner="etcd")
    yield from _pair(f"{FOLDER}/apiserver-etcd-client", client)


def _api_server_keys(cluster: ClusterSpec, node: NodeSpec, pki: Pki) -> Iterator[PlacedFile]:
    plane = cluster.control_plane
    assert plane is not None
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += ["kubernetes.default.svc.cluster.local", "localhost", node.name]
    # All masters' addresses: a client may reach one of them through another's, as HA setups do.
    addresses = [one.address for one in cluster.masters]
    addresses += [_LOCALHOST, plane.service_network.network_address + 1]
    host = urlsplit(cluster.api_server).hostname or ""
    try:
        addresses.append(ip_address(host))
    except ValueError:
        names.append(host)
    serving = certificates.server(
        "kube-apiserver",
        tuple(dict.fromkeys(names)),
        tuple(dict.fromkeys(addresses)),
        key_type="ecdsa",
    )
    yield PlacedFile(f"{FOLDER}/ca.crt", pki.ca_cert)
    yield from _pair(f"{FOLDER}/apiserver", pki.issued(f"apiserver-{node.name}", serving))
    client = certificates.kubelet_client(key_type="ecdsa")
    yield from _pair(
        f"{FOLDER}/apiserver-kubelet-client", pki.issued("apiserver-kubelet-client", client)
    )
    # The key of service accounts needs no certificate; one is how it is kept.
    tokens = pki.issued("service-accounts", certificates.user("service-accounts"))
    public = tokens.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    yield PlacedFile(f"{FOLDER}/sa.pub", public)
    yield PlacedFile(f"{FOLDER}/sa.key", tokens.key, _SECRET)


def _pair(path: str, pair: KeyPair, owner: str = "root") -> Iterator[PlacedFile]:
    yield PlacedFile(f"{path}.crt", pair.cert, owner=owner)
    yield PlacedFile(f"{path}.key", pair.key, _SECRET, owner)


def _unit(name: str, program: str, flags: Mapping[str, str], user: str = "") -> PlacedFile:
    content = render(
        "control-plane.service",
        description=_DESCRIPTIONS[name],
        program=program,
        flags=Flags(flags).words(),
        user=user,
    )
    return PlacedFile(f"{_UNITS}/{name}.service", content)
