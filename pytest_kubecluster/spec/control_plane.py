"""What a control plane must be, and the command lines of its programs, version by version.

A master has an etcd member and an API server; with real programs, a controller manager and a
scheduler, too. The flags are those of kubeadm's static pods (cmd/kubeadm/app/phases/controlplane),
and their lifetimes those of cmd/kube-apiserver/app/options and k8s.io/apiserver at each minor.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal

from pytest_kubecluster.spec.model import ClusterSpec, ControlPlaneSpec, NodeSpec
from pytest_kubecluster.spec.parts import IPAddress

Component = Literal["kube-apiserver", "kube-controller-manager", "kube-scheduler"]

COMPONENTS: tuple[Component, ...] = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
)
ETCD = "etcd"
TARGET = "kube-control-plane.target"
"""The systemd unit that starts all others of the control plane."""

FOLDER = "/etc/kube-control-plane"
"""The folder on a master with keys, certificates and kubeconfigs; apart from what kubelets read."""
PROGRAMS = "/opt/kube-control-plane"
"""The folder on a master with the programs."""

ETCD_CLIENTS, ETCD_PEERS = 2379, 2380

SURVIVES_A_LOSS = 3
"""The least number of masters of which one may be lost: etcd needs a majority."""

_ADMISSION = (
    "NamespaceLifecycle,LimitRanger,ServiceAccount,DefaultStorageClass,DefaultTolerationSeconds,"
    "NodeRestriction,ResourceQuota"
)
"""The plugins that the documentation of 1.7 recommends, with NodeRestriction."""


def loss_note(cluster: ClusterSpec) -> str:
    """Return what to know of a control plane that looks as if it survived a loss, and does not."""
    return "two masters survive the loss of none" if len(cluster.masters) == 2 else ""


def api_server_url(cluster: ClusterSpec, address: IPAddress) -> str:
    """Return the URL of the API server on a master."""
    return f"https://{address}:{cluster.api_server_port}"


def etcd_urls(cluster: ClusterSpec) -> str:
    """Return the URLs of all etcd members, as an API server is given them."""
    return ",".join(f"https://{node.address}:{ETCD_CLIENTS}" for node in cluster.masters)


def etcd_flags(cluster: ClusterSpec, node: NodeSpec) -> dict[str, str]:
    """Return the flags of the etcd member on a master: TLS for clients and peers alike."""
    clients, peers = (f"https://{node.address}:{port}" for port in (ETCD_CLIENTS, ETCD_PEERS))
    members = (f"{one.name}=https://{one.address}:{ETCD_PEERS}" for one in cluster.masters)
    keys = f"{FOLDER}/etcd"
    return {
        "name": node.name,
        "data-dir": "/var/lib/etcd/kubernetes",
        "listen-client-urls": f"{clients},https://127.0.0.1:{ETCD_CLIENTS}",
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": ",".join(members),
        "initial-cluster-state": "new",
        "client-cert-auth": "true",
        "trusted-ca-file": f"{keys}/ca.crt",
        "cert-file": f"{keys}/server.crt",
        "key-file": f"{keys}/server.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": f"{keys}/ca.crt",
        "peer-cert-file": f"{keys}/server.crt",
        "peer-key-file": f"{keys}/server.key",
    }


def api_server_flags(cluster: ClusterSpec, node: NodeSpec) -> dict[str, str]:
    """Return the flags of the API server on a master, as its version has them."""
    plane = cluster.control_plane
    assert plane is not None
    minor = plane.version.minor
    flags = {
        "advertise-address": str(node.address),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "bind-address": "0.0.0.0",
        "client-ca-file": f"{FOLDER}/ca.crt",
        "etcd-cafile": f"{FOLDER}/etcd/ca.crt",
        "etcd-certfile": f"{FOLDER}/apiserver-etcd-client.crt",
        "etcd-keyfile": f"{FOLDER}/apiserver-etcd-client.key",
        "etcd-servers": etcd_urls(cluster),
        "kubelet-client-certificate": f"{FOLDER}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{FOLDER}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
        "secure-port": str(cluster.api_server_port),
        "service-account-key-file": f"{FOLDER}/sa.pub",
        "service-cluster-ip-range": str(plane.service_network),
        "tls-cert-file": f"{FOLDER}/apiserver.crt",
        "tls-private-key-file": f"{FOLDER}/apiserver.key",
    }
    # --enable-admission-plugins: CHANGELOG-1.10, kubernetes#58123
    if minor < 10:
        flags["admission-control"] = _ADMISSION
    else:
        flags["enable-admission-plugins"] = "NodeRestriction"
    # Renamed in 1.8: CHANGELOG-1.8, kubernetes#50357
    name = "experimental-bootstrap-token-auth" if minor < 8 else "enable-bootstrap-token-auth"
    flags[name] = "true"
    # Until 1.10, the number of endpoints of the service `kubernetes` is that of this flag.
    if minor < 11 and len(cluster.masters) > 1:
        flags["apiserver-count"] = str(len(cluster.masters))
    if all(node.kubelet.signed_serving for node in cluster):
        flags["kubelet-certificate-authority"] = f"{FOLDER}/ca.crt"
    # The port without TLS is on by default until 1.19: kubernetes#91506
    if minor < 20:
        flags["insecure-port"] = "0"
    else:
        # Required from 1.20 on: kubernetes#93258
        flags["service-account-issuer"] = "https://kubernetes.default.svc.cluster.local"
        flags["service-account-signing-key-file"] = f"{FOLDER}/sa.key"
    return dict(sorted(flags.items()))


def component_flags(cluster: ClusterSpec, node: NodeSpec, component: Component) -> dict[str, str]:
    """Return the flags of one of the programs of a master, as its version has them."""
    plane = cluster.control_plane
    assert plane is not None
    if component == "kube-apiserver":
        flags = api_server_flags(cluster, node)
        # The hollow one signs in place of a controller manager.
        signing = signing_flags(plane) if plane.hollow and signs_certificates(cluster) else {}
        return dict(sorted({**flags, **signing}.items()))
    flags = {"kubeconfig": f"{FOLDER}/{component}.kubeconfig", "leader-elect": "true"}
    # The port without TLS is gone in 1.20 and later: kubernetes#91506, #92822
    if plane.version.minor < 20:
        flags["address"] = "127.0.0.1"
    if component == "kube-controller-manager":
        flags |= {
            **signing_flags(plane),
            "controllers": "*,bootstrapsigner,tokencleaner",
            "root-ca-file": f"{FOLDER}/ca.crt",
            "service-account-private-key-file": f"{FOLDER}/sa.key",
            "use-service-account-credentials": "true",
        }
    return dict(sorted(flags.items()))


def signs_certificates(cluster: ClusterSpec) -> bool:
    """Return whether kubelets of a cluster ask its control plane to sign their certificates."""
    return cluster.control_plane is not None and any(
        node.kubelet.settings.get("rotate-certificates") == "true" for node in cluster
    )


def signing_flags(plane: ControlPlaneSpec) -> dict[str, str]:
    """Return the flags of the program that signs the certificates of kubelets."""
    flags = {
        "cluster-signing-cert-file": f"{FOLDER}/ca.crt",
        "cluster-signing-key-file": f"{FOLDER}/ca.key",
    }
    if plane.signing_duration:
        # Renamed in 1.19: kubernetes#91154
        old = plane.version.minor < 19 and not plane.hollow
        name = "experimental-cluster-signing-duration" if old else "cluster-signing-duration"
        flags[name] = plane.signing_duration
    return flags


def pod_network(cluster: ClusterSpec, node: NodeSpec) -> IPv4Network:
    """Return the subnet for the pods of a node: the next of the pod network for each node."""
    plane = cluster.control_plane
    assert plane is not None
    index = [one.name for one in cluster].index(node.name)
    subnets = list(plane.pod_network.subnets(new_prefix=24))
    return subnets[index % len(subnets)]
