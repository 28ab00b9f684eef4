"""What a cluster must be: complete before anything boots, and never changed after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from pytest_kubecluster import facts
from pytest_kubecluster.flags import Flags
from pytest_kubecluster.version import KubeVersion

Role = Literal["master", "worker"]

DEFAULT_NETWORK = IPv4Network("10.17.5.0/24")
"""Apart from the seed's 172.17.5.0/24, which lies inside Docker's default bridge."""

DEFAULT_VERSION = KubeVersion.parse("v1.7.5_coreos.1")

_FIRST_HOST = {"master": 101, "worker": 201}
"""Where the seed counts its nodes from: 172.17.5.101 to .103, and .201."""


class SpecError(ValueError):
    """A cluster that cannot be; the message names the culprit and the way out."""


@dataclass(frozen=True)
class Label:
    """A node label, as ``--node-labels`` writes it; the role label has no value."""

    key: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.key}={self.value}" if self.value else self.key


@dataclass(frozen=True)
class Taint:
    """A node taint, written ``key=value:effect``; kubelets before 1.15 insist on the ``=``."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}"


@dataclass(frozen=True)
class FileSpec:
    """A file a node must have. Its bytes are those rendered under ``name``."""

    name: str
    path: str
    mode: int
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    """Whether the content may be shown to no one."""


@dataclass(frozen=True)
class KubeletSpec:
    """The kubelet a node must run. The defaults are the seed's.

    ``flags`` follows from the other fields; ``extra_flags`` adds to it or, with None, removes.
    """

    node_ip: IPv4Address
    labels: tuple[Label, ...]
    taints: tuple[Taint, ...] = ()
    version: KubeVersion = DEFAULT_VERSION
    cluster_dns: IPv4Address = IPv4Address("10.3.0.10")
    cluster_domain: str = "cluster.local"
    anonymous_auth: bool = False
    allow_privileged: bool = True
    unit: str = "kubelet.service"
    unit_path: str = "/etc/systemd/system/kubelet.service"
    kubeconfig: str = "/etc/kubernetes/kubeconfig"
    client_ca_file: str = "/etc/kubernetes/ca.crt"
    ca_key_file: str = "/etc/kubernetes/ca.key"
    cni_conf_dir: str = "/etc/kubernetes/cni/net.d"
    network_plugin: str = "cni"
    lock_file: str = "/var/run/lock/kubelet.lock"
    manifests: str = "/etc/kubernetes/manifests"
    restart_seconds: int = 10
    extra_flags: tuple[tuple[str, str | None], ...] = ()

    @cached_property
    def flags(self) -> Flags:
        """The flags of the command line, in the seed's order."""
        flags = {
            "kubeconfig": self.kubeconfig,
            "require-kubeconfig": "true",
            "client-ca-file": self.client_ca_file,
            "anonymous-auth": str(self.anonymous_auth).lower(),
            "cni-conf-dir": self.cni_conf_dir,
            "network-plugin": self.network_plugin,
            "lock-file": self.lock_file,
            "exit-on-lock-contention": "true",
            "pod-manifest-path": self.manifests,
            "allow-privileged": str(self.allow_privileged).lower(),
            "node-labels": ",".join(map(str, self.labels)),
            "node-ip": str(self.node_ip),
            "register-with-taints": ",".join(map(str, self.taints)),
            "cluster-dns": str(self.cluster_dns),
            "cluster-domain": self.cluster_domain,
        }
        set_flags = {name: value for name, value in flags.items() if value}
        return Flags(set_flags).changed(dict(self.extra_flags))

    @cached_property
    def files(self) -> tuple[FileSpec, ...]:
        """The files of the seed's role, with the owner and mode the seed leaves to chance."""
        return (
            FileSpec("ca.crt", self.client_ca_file, 0o644),
            FileSpec("ca.key", self.ca_key_file, 0o600, secret=True),
            FileSpec("kubeconfig", self.kubeconfig, 0o600, secret=True),
            FileSpec("kubelet.service", self.unit_path, 0o644),
        )

    def with_flags(self, changes: Mapping[str, str | None]) -> KubeletSpec:
        """Return this kubelet with some flags set, or removed where the value is None."""
        return replace(self, extra_flags=tuple({**dict(self.extra_flags), **changes}.items()))


@dataclass(frozen=True)
class NodeSpec:
    """One machine: its name, role and address, and the kubelet it must run."""

    name: str
    role: Role
    address: IPv4Address
    kubelet: KubeletSpec

    @property
    def is_master(self) -> bool:
        """Whether the node is a master."""
        return self.role == "master"


@dataclass(frozen=True)
class ClusterSpec:
    """The whole cluster, masters first; the value every later stage only reads."""

    nodes: tuple[NodeSpec, ...]
    network: IPv4Network = DEFAULT_NETWORK
    version: KubeVersion = DEFAULT_VERSION
    image_url: str = "quay.io/coreos/hyperkube"
    api_server_port: int = 443

    @property
    def image_tag(self) -> str:
        """The hyperkube image's tag, ``v1.7.5_coreos.1``."""
        return self.version.tag

    @property
    def masters(self) -> tuple[NodeSpec, ...]:
        """The masters, in order."""
        return tuple(node for node in self.nodes if node.role == "master")

    @property
    def workers(self) -> tuple[NodeSpec, ...]:
        """The workers, in order."""
        return tuple(node for node in self.nodes if node.role == "worker")

    @property
    def api_server(self) -> str:
        """Where the kubelets find the API server: the third master, as in the seed, or the last."""
        return f"https://{self.masters[:3][-1].address}:{self.api_server_port}"

    def __iter__(self) -> Iterator[NodeSpec]:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> NodeSpec:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r}; there are {', '.join(n.name for n in self.nodes)}")

    def with_flags(
        self,
        changes: Mapping[str, str | None],
        *,
        role: Role | None = None,
        node: str | None = None,
    ) -> ClusterSpec:
        """Return this cluster with kubelet flags changed on all nodes, a role's, or one.

        A flag whose value is None is removed. Raises KeyError for a node there is not.
        """
        chosen = {self[node].name} if node else {n.name for n in self if role in (None, n.role)}
        return replace(
            self,
            nodes=tuple(
                replace(n, kubelet=n.kubelet.with_flags(changes)) if n.name in chosen else n
                for n in self.nodes
            ),
        )

    def check(self) -> None:
        """Raise SpecError for what no cluster can be: doubles, strays, flags nobody knows."""
        for what, values in (
            ("name", [node.name for node in self]),
            ("address", [str(node.address) for node in self]),
        ):
            if double := next((value for value in values if values.count(value) > 1), None):
                raise SpecError(f"two nodes have the {what} {double}")
        if not self.masters:
            raise SpecError("a cluster needs a master: the API server's address is a master's")
        for node in self:
            if node.address not in self.network:
                raise SpecError(f"{node.name}'s address {node.address} is not in {self.network}")
            known = facts.flags(node.kubelet.version.minor_version)
            for name in node.kubelet.flags:
                if name not in known:
                    raise SpecError(
                        f"{node.name}: kubelet {node.kubelet.version.number} has no flag --{name}"
                    )

    def summary(self) -> str:
        """Return the topology in words: ``3 masters, 1 worker``."""
        counts = ((len(self.masters), "master"), (len(self.workers), "worker"))
        return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)


def cluster_spec(
    masters: int = 3,
    workers: int = 1,
    network: IPv4Network = DEFAULT_NETWORK,
    version: KubeVersion = DEFAULT_VERSION,
) -> ClusterSpec:
    """Describe the seed's cluster, of any size.

    ``masters`` and ``workers`` are counts; master01 has host 101 of ``network`` and worker01 host
    201, as in the seed, unless the network is too small for that: then nodes fill it from its
    start. Raises SpecError where that cannot be.
    """
    if masters < 0 or workers < 0:
        raise SpecError("the number of nodes cannot be negative")
    if masters == 0:
        raise SpecError(
            "a cluster needs at least one master: the kubelets' API server address is a master's"
        )
    addresses = _addresses(masters, workers, network)
    roles: list[Role] = ["master" for _ in range(masters)]
    roles += ["worker" for _ in range(workers)]
    counts: dict[str, int] = {"master": 0, "worker": 0}
    nodes = []
    for role, address in zip(roles, addresses, strict=True):
        counts[role] += 1
        key = f"node-role.kubernetes.io/{role}"
        taints = (Taint(key),) if role == "master" else ()
        kubelet = KubeletSpec(address, (Label(key),), taints, version)
        nodes.append(NodeSpec(f"{role}{counts[role]:02}", role, address, kubelet))
    return ClusterSpec(tuple(nodes), network, version)


def _addresses(masters: int, workers: int, network: IPv4Network) -> list[IPv4Address]:
    first, last = network.network_address, network.broadcast_address
    as_in_seed = [_FIRST_HOST["master"] + i for i in range(masters)]
    as_in_seed += [_FIRST_HOST["worker"] + i for i in range(workers)]
    fits = len(set(as_in_seed)) == masters + workers and all(first + n < last for n in as_in_seed)
    # The first host of a network is the gateway: Docker's bridge or libvirt's host.
    from_start = range(2, 2 + masters + workers)
    hosts = as_in_seed if fits else list(from_start)
    if first + hosts[-1] >= last:
        room = max(0, network.num_addresses - 3)
        raise SpecError(
            f"{masters + workers} nodes do not fit into {network}: it has room for {room}; "
            "choose a larger network or fewer nodes"
        )
    return [first + n for n in hosts]
