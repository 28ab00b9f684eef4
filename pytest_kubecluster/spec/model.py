"""What a cluster must be: complete before anything boots, and never changed after."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import Flags, normal_name
from pytest_kubecluster.spec.launcher import (
    Launcher,
    LauncherName,
    Runtime,
    executable_name,
    launcher_for,
    runtime_for,
)
from pytest_kubecluster.spec.node_labels import refused_labels
from pytest_kubecluster.spec.parts import (
    FileStatement,
    HostStatement,
    IdentityStatement,
    IPAddress,
    Label,
    Taint,
)
from pytest_kubecluster.spec.settings import Kind, kind_of, parse_setting
from pytest_kubecluster.spec.translate import (
    ROLE,
    Change,
    Resolution,
    configuration,
    configz_fields,
    resolve,
)
from pytest_kubecluster.spec.values import frozen
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

Role = Literal["master", "worker"]

LayoutName = Literal["classic", "found"]
"""``classic`` states everything that is rendered, ``found`` only what the user stated."""

DEFAULT_NETWORK = IPv4Network("10.17.5.0/24")
"""Apart from the seed's 172.17.5.0/24, which lies inside Docker's default bridge."""

NOT_ASKED = IPv4Address("0.0.0.0")
"""The address of a machine that was not asked yet."""

DEFAULT_VERSION = KubeVersion.parse("v1.7.5_coreos.1")

_FIRST_HOST = {"master": 101, "worker": 201}
"""Where the seed counts its nodes from: 172.17.5.101 to .103, and .201."""


_WITH = {"kubeconfig": "require-kubeconfig", "lock-file": "exit-on-lock-contention"}
"""Flags that the article sets after another one."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SpecError(ValueError):
    """A cluster that cannot be; the message names the culprit and the way out."""


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
    from_pki: bool = False
    """Whether the content is the cluster's own: nobody can tell it who did not make its keys."""


@dataclass(frozen=True)
class KubeletSpec:
    """The kubelet a node must run, in any version. The defaults are the article's.

    ``flags`` and ``config`` follow from that and from ``version``; ``extra_flags`` adds flags of
    that version or, with None, removes what the article sets. A field that is None or, if it is
    text, empty states nothing.
    """

    node_ips: tuple[IPAddress, ...] | None
    """The addresses of ``--node-ip``; with an empty tuple the flag must not be set."""
    labels: tuple[Label, ...]
    taints: tuple[Taint, ...] | None = ()
    version: KubeVersion = DEFAULT_VERSION
    cluster_dns: tuple[IPAddress, ...] | None = (IPv4Address("10.3.0.10"),)
    cluster_domain: str = "cluster.local"
    anonymous_auth: bool | None = False
    allow_privileged: bool | None = True
    unit: str = "kubelet.service"
    unit_path: str = "/etc/systemd/system/kubelet.service"
    unit_drop_ins: tuple[str, ...] | None = None
    unit_environment_files: tuple[str, ...] | None = None
    unit_text: str = ""
    """The unit file's text, where the unit is not the one that is rendered."""
    kubeconfig: str = "/etc/kubernetes/kubeconfig"
    client_ca_file: str = "/etc/kubernetes/ca.crt"
    ca_key_file: str = "/etc/kubernetes/ca.key"
    cni_conf_dir: str = "/etc/kubernetes/cni/net.d"
    network_plugin: str = "cni"
    lock_file: str = "/var/run/lock/kubelet.lock"
    manifests: str = "/etc/kubernetes/manifests"
    restart_seconds: int = 10
    config_path: str = "/etc/kubernetes/kubelet.yaml"
    launched_by: LauncherName | None = None
    """Another launcher than the usual one at the time of the version."""
    cgroup_v1: bool = False
    """Allow the kubelet to run on a cgroup v1 host."""
    swap: bool = False
    """Allow the kubelet to run on a host that has swap on."""
    modes: tuple[tuple[str, int], ...] = ()
    """Other modes than the usual ones for some ``files``, by name."""
    extra_flags: tuple[tuple[str, str | None], ...] = ()
    extra_settings: tuple[tuple[str, Any], ...] = ()
    """Settings by flag name or configuration path, in a file or by a flag; None is not set."""
    own_files: tuple[FileStatement, ...] = ()
    """Files beside the rendered ones."""
    identity: IdentityStatement = IdentityStatement()
    api_server: str = ""
    """The API server of this kubelet, if it is not the cluster's."""
    hostname: str = ""
    """The name of ``--hostname-override``."""
    host: HostStatement = HostStatement()
    layout: LayoutName = "classic"

    @property
    def node_ip(self) -> IPAddress | None:
        """The first address of ``--node-ip``; None where there is none, or nothing is stated."""
        return self.node_ips[0] if self.node_ips else None

    @property
    def flags(self) -> Flags:
        """The flags of the command line, in the seed's order."""
        return self._resolution.flags

    @property
    def config(self) -> Flags:
        """What the KubeletConfiguration says, by flag name; empty where there is none."""
        return self._resolution.config

    @property
    def settings(self) -> Flags:
        """All that the kubelet is told by flags and file, by flag name."""
        return self._resolution.settings

    @property
    def changes(self) -> tuple[Change, ...]:
        """What this version says otherwise than the seed's, and why."""
        return self._resolution.changes

    @property
    def node_labels(self) -> Mapping[str, str]:
        """The labels that the kubelet itself gives its node."""
        pairs = (pair.partition("=") for pair in _items(self.settings.get("node-labels", "")))
        return {key: value for key, _, value in pairs}

    @property
    def node_taints(self) -> tuple[str, ...]:
        """The taints that the kubelet registers its node with, as the flag writes them."""
        return tuple(_items(self.settings.get("register-with-taints", "")))

    @property
    def shown_by_configz(self) -> tuple[str, ...]:
        """The names of those ``settings`` that the kubelet shows on /configz."""
        fields = configz_fields(self.version)
        return tuple(name for name in self.settings if name in fields)

    @property
    def launcher(self) -> Launcher:
        """The program that the unit starts."""
        return launcher_for(self.version, self.launched_by)

    @property
    def runtime(self) -> Runtime:
        """The container runtime a real kubelet of this version needs."""
        return runtime_for(self.version)

    @property
    def executable(self) -> str:
        """``hyperkube`` or ``kubelet``, as that version's release has it."""
        return executable_name(self.version)

    @cached_property
    def _resolution(self) -> Resolution:
        own = {normal_name(name): value for name, value in self.extra_flags}
        if self.layout == "found":
            return Resolution(Flags(self.stated_flags), Flags(), ())
        return resolve(
            self._intended,
            self.version,
            own,
            config_path=self.config_path,
            settings=self._own_settings,
            cgroup_v1=self.cgroup_v1,
            swap=self.swap,
        )

    @property
    def _own_settings(self) -> tuple[tuple[Kind, Any], ...]:
        """The user's settings with typed values; None is one that must not be set."""
        return tuple(
            (
                kind_of(self.version, name),
                None if value is None else parse_setting(self.version, name, value).value,
            )
            for name, value in self.extra_settings
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """The KubeletConfiguration that the node gets; empty where it gets none."""
        resolution = self._resolution
        if not resolution.config:
            return {}
        return configuration(resolution.config, self.version, resolution.fields)

    @property
    def stated_flags(self) -> Mapping[str, str]:
        """What the fields and ``extra_flags`` state, by flag name."""
        own = {normal_name(name): value for name, value in self.extra_flags}
        stated = {**{name: text for name, text in self._fields.items() if text}, **own}
        return {name: text for name, text in stated.items() if text is not None}

    @property
    def _intended(self) -> Mapping[str, str]:
        """The flags as the article writes them for 1.7.5."""
        flags: dict[str, str] = {}
        for name, value in self._fields.items():
            flags[name] = value
            if value and name in _WITH:
                flags[_WITH[name]] = "true"
        return flags

    @property
    def _fields(self) -> Mapping[str, str]:
        """The fields as flags, in the article's order; what states nothing is empty."""
        return {
            "kubeconfig": self.kubeconfig,
            "client-ca-file": self.client_ca_file,
            "anonymous-auth": _bool_text(self.anonymous_auth),
            "cni-conf-dir": self.cni_conf_dir,
            "network-plugin": self.network_plugin,
            "lock-file": self.lock_file,
            "pod-manifest-path": self.manifests,
            "allow-privileged": _bool_text(self.allow_privileged),
            "node-labels": ",".join(map(str, self.labels)),
            "node-ip": ",".join(map(str, self.node_ips or ())),
            "register-with-taints": ",".join(map(str, self.taints or ())),
            "cluster-dns": ",".join(map(str, self.cluster_dns or ())),
            "cluster-domain": self.cluster_domain,
            "hostname-override": self.hostname,
        }

    @cached_property
    def files(self) -> tuple[FileSpec, ...]:
        """The files of the seed's role, with the owner and mode the seed leaves to chance."""
        # CIS Kubernetes Benchmark 4.1.9 wants this mode of the configuration file.
        config = (FileSpec("kubelet.yaml", self.config_path, 0o600),) if self.config else ()
        files = (
            FileSpec("ca.crt", self.client_ca_file, 0o644, from_pki=True),
            FileSpec("ca.key", self.ca_key_file, 0o600, secret=True, from_pki=True),
            FileSpec("kubeconfig", self.kubeconfig, 0o600, secret=True, from_pki=True),
            FileSpec("kubelet.service", self.unit_path, 0o644),
            *config,
        )
        modes = dict(self.modes)
        return tuple(replace(file, mode=modes.get(file.name, file.mode)) for file in files)

    def with_settings(self, settings: Mapping[str, Any]) -> KubeletSpec:
        """Return this kubelet with settings set by flag name or configuration path.

        A setting whose value is None must not be set. Where it is set, in the configuration file or
        by a flag, is the version's affair.
        """
        changed = {**dict(self.extra_settings), **{n: frozen(v) for n, v in settings.items()}}
        return replace(self, extra_settings=tuple(changed.items()))

    def with_flags(self, changes: Mapping[str, str | None]) -> KubeletSpec:
        """Return this kubelet with some flags set, or removed where the value is None."""
        return replace(self, extra_flags=tuple({**dict(self.extra_flags), **changes}.items()))


@dataclass(frozen=True)
class Machine:
    """A machine that is to be a node; its address is NOT_ASKED while only it could tell."""

    name: str
    role: Role
    address: IPv4Address


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
    network: IPv4Network | None = DEFAULT_NETWORK
    """The subnet that holds all nodes; None where the machines are somebody's own."""
    version: KubeVersion = DEFAULT_VERSION
    image_url: str = "quay.io/coreos/hyperkube"
    api_server_port: int = 443
    api_server_url: str = ""
    """Where the API server is, if that is not a master's address: a load balancer's, say."""

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
        if self.api_server_url:
            return self.api_server_url
        return f"https://{self.masters[:3][-1].address}:{self.api_server_port}"

    def __iter__(self) -> Iterator[NodeSpec]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        """Return whether the cluster has a node: its name or its spec."""
        return any(node in (one.name, one) for one in self.nodes)

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
        for node in self:
            # It names files here, and is a pattern to ssh.
            if not _NAME.fullmatch(node.name):
                raise SpecError(
                    f"{node.name!r} cannot be a node's name: it takes letters, digits, dots, "
                    "hyphens and underscores, and begins with none of the last three"
                )
        names = [node.name for node in self]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise SpecError(f"two nodes have the name {double}")
        places: dict[IPv4Address, list[str]] = {}
        for node in self:
            places.setdefault(node.address, []).append(node.name)
            there = places[node.address]
            if len(there) > 1 and node.address != NOT_ASKED:
                # Behind one address, machines are told by their ports: it is none of theirs.
                how = "" if self.network else "; say each one's own with private_ipv4"
                raise SpecError(f"{' and '.join(there)} have the same address {node.address}{how}")
        if not self.masters and not self.api_server_url:
            raise SpecError("a cluster needs a master: the API server's address is a master's")
        for node in self:
            if self.network and node.address not in self.network:
                raise SpecError(f"{node.name}'s address {node.address} is not in {self.network}")
            _check_kubelet(node.name, node.kubelet)

    def summary(self) -> str:
        """Return the topology in words: ``3 masters, 1 worker``."""
        counts = ((len(self.masters), "master"), (len(self.workers), "worker"))
        return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)


def _check_kubelet(name: str, kubelet: KubeletSpec) -> None:
    version = kubelet.version
    if not version.known:
        raise SpecError(f"{name}: kubelet {version.number} is out of the known range, {KNOWN}")
    known = catalog.flags(version.minor_version)
    for flag in kubelet.flags:
        if flag not in known:
            raise SpecError(f"{name}: {_unknown(flag, version)}")
    labels = dict.fromkeys(kubelet.node_labels)
    if refused := refused_labels(labels, version.minor):
        raise SpecError(
            f"{name}: kubelet {version.number} does not start with the node label"
            f"{'s' * (len(refused) > 1)} {', '.join(refused)}; only the API can set such labels"
        )


def _unknown(flag: str, version: KubeVersion) -> str:
    text = f"kubelet {version.number} has no flag --{flag}"
    history = catalog.history(flag)
    if history is None:
        near = difflib.get_close_matches(flag, catalog.flags(version.minor_version), 1)
        return text + (f"; did you mean --{near[0]}?" if near else f", nor has any from {KNOWN}")
    if history.since and version < KubeVersion.parse(history.since):
        return f"{text}; it came with {history.since}"
    instead = f"; instead: {history.instead}" if history.instead else ""
    return f"{text} any more: it went with {history.removed}{instead}"


def _bool_text(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _items(value: str) -> list[str]:
    return [item for item in value.split(",") if item]


def cluster_spec(
    masters: int = 3,
    workers: int = 1,
    network: IPv4Network = DEFAULT_NETWORK,
    version: KubeVersion = DEFAULT_VERSION,
    *,
    cgroup_v1: bool = False,
    swap: bool = False,
) -> ClusterSpec:
    """Describe the seed's cluster, of any size.

    ``masters`` and ``workers`` are counts; master01 has host 101 of ``network`` and worker01 host
    201, as in the seed, unless the network is too small for that: then nodes fill it from its
    start. ``cgroup_v1`` and ``swap`` say what of the host the kubelets shall put up with. Raises
    SpecError where that cannot be.
    """
    machines = seed_machines(masters, workers, network)
    return spec_of(machines, network, version, cgroup_v1=cgroup_v1, swap=swap)


def seed_machines(masters: int, workers: int, network: IPv4Network) -> tuple[Machine, ...]:
    """Return the machines of the seed's cluster, of any size. Raises SpecError."""
    if masters < 0 or workers < 0:
        raise SpecError("the number of nodes cannot be negative")
    if masters == 0:
        raise SpecError(
            "a cluster needs at least one master: the kubelets' API server address is a master's"
        )
    roles: list[Role] = ["master" for _ in range(masters)]
    roles += ["worker" for _ in range(workers)]
    numbers = [*range(1, masters + 1), *range(1, workers + 1)]
    return tuple(
        Machine(f"{role}{number:02}", role, address)
        for role, number, address in zip(
            roles, numbers, _addresses(masters, workers, network), strict=True
        )
    )


def spec_of(
    machines: Sequence[Machine],
    network: IPv4Network | None,
    version: KubeVersion,
    *,
    cgroup_v1: bool = False,
    swap: bool = False,
) -> ClusterSpec:
    """Describe the cluster whose nodes are ``machines``, with the seed's kubelets; masters first.

    The other parameters are those of ``cluster_spec``.
    """
    nodes = []
    for machine in sorted(machines, key=lambda machine: machine.role):
        key = f"{ROLE}{machine.role}"
        taints = (Taint(key),) if machine.role == "master" else ()
        kubelet = KubeletSpec(
            (machine.address,), (Label(key),), taints, version, cgroup_v1=cgroup_v1, swap=swap
        )
        nodes.append(NodeSpec(machine.name, machine.role, machine.address, kubelet))
    return ClusterSpec(tuple(nodes), network, version, launcher_for(version).image_url)


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
