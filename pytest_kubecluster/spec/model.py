"""What a cluster must be: complete before anything boots, and never changed afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Network, IPv6Address
from typing import Any, Literal

from pytest_kubecluster.spec.base import Base, resolve_base
from pytest_kubecluster.spec.defaults import DEFAULT_VERSION, LayoutName
from pytest_kubecluster.spec.flags import Flags, normal_name
from pytest_kubecluster.spec.kinds import SettingError, kind_of, normal_setting
from pytest_kubecluster.spec.launcher import (
    Launcher,
    LauncherName,
    Runtime,
    executable_name,
    launcher_for,
    runtime_for,
)
from pytest_kubecluster.spec.names import Named, UnknownNameError
from pytest_kubecluster.spec.node_labels import refused_labels
from pytest_kubecluster.spec.parts import (
    NO_ADDRESS,
    FileStatement,
    HostStatement,
    IdentityStatement,
    IPAddress,
    Label,
    Taint,
)
from pytest_kubecluster.spec.refusals import refusals
from pytest_kubecluster.spec.settings import effective_settings, parse_setting
from pytest_kubecluster.spec.translate import (
    Change,
    Resolution,
    configuration,
    configz_fields,
    host_settings,
    resolve,
)
from pytest_kubecluster.spec.typed_values import Kind, flag_text
from pytest_kubecluster.spec.values import frozen
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

Role = Literal["master", "worker"]

_FOLLOWERS = {"kubeconfig": "require-kubeconfig", "lock-file": "exit-on-lock-contention"}
"""Boolean flags that the article sets right after another flag."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SpecError(ValueError):
    """A cluster that cannot exist; the message names the culprit and the way out."""


@dataclass(frozen=True)
class FileSpec:
    """A file that is rendered for a node under ``name``."""

    name: str
    path: str
    mode: int
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    """True if the content must not be shown."""
    from_pki: bool = False
    """True if the content is derived from the cluster's keys: without them it is unknown."""
    rotated: bool = False
    """True if ``path`` is a link to a file that is named after the certificate's date."""
    written: bool = False
    """True if the kubelet writes it itself when it joins, so that it is not installed."""
    used_up: bool = False
    """True if a node joins with it, and does not have it afterwards."""

    @property
    def made_there(self) -> bool:
        """Whether its content is made on the node, and known nowhere else."""
        return self.written and self.rotated


@dataclass(frozen=True)
class KubeletSpec:
    """The kubelet a node must run, in the terms of any version.

    ``flags`` and ``config`` follow from the fields and from ``version``. A field that is None or
    empty states nothing. ``extra_flags`` are on the command line, ``extra_settings`` wherever this
    version has them; a value of None in either is a setting that must not be set.
    """

    version: KubeVersion = DEFAULT_VERSION
    layout: LayoutName = "classic"
    node_ips: tuple[IPAddress, ...] | None = None
    """The addresses of ``--node-ip``; an empty tuple is a flag that must not be set."""
    labels: tuple[Label, ...] = ()
    taints: tuple[Taint, ...] | None = None
    cluster_dns: tuple[IPAddress, ...] | None = None
    cluster_domain: str = ""
    anonymous_auth: bool | None = None
    allow_privileged: bool | None = None
    hostname: str = ""
    """The name of ``--hostname-override``."""
    api_server: str = ""
    """The URL of this kubelet's API server, if it is not the cluster's."""
    unit: str = "kubelet.service"
    unit_path: str = ""
    unit_drop_ins: tuple[str, ...] | None = None
    unit_environment_files: tuple[str, ...] | None = None
    unit_text: str = ""
    """The text of the unit file, where it is not the rendered one."""
    kubeconfig: str = ""
    bootstrap_kubeconfig: str = ""
    """The kubeconfig with which the node joins by TLS bootstrap; empty where its certificate is
    rendered."""
    client_ca_file: str = ""
    ca_key_file: str = ""
    cni_conf_dir: str = ""
    network_plugin: str = ""
    lock_file: str = ""
    manifests: str = ""
    config_path: str = ""
    restart_seconds: int | None = None
    """``RestartSec`` of the unit."""
    launched_by: LauncherName | None = None
    """Another launcher than the usual one at the time of the version."""
    program: str = ""
    """The path of the kubelet's program on the node, where it is not the launcher's usual one."""
    base: Base | None = field(default=None, repr=False)
    """What the layout's own tool writes; None where the version's flags are translated."""
    more_files: tuple[FileSpec, ...] = ()
    """What the layout renders beside the usual files."""
    more_changes: tuple[Change, ...] = ()
    """What the layout sets beside the article's, and why."""
    signed_serving: bool = False
    """Whether the CA signs the serving certificate, for the node's name and addresses."""
    sysctls: str = ""
    """The file with the kernel's settings that the unit applies before the kubelet starts."""
    limits_addresses: bool = False
    """Whether the unit lets the kubelet talk to the cluster's own networks alone."""
    restarts_at_boot: int = 0
    """How often systemd may restart the kubelet: its unit may not wait for the runtime at boot."""
    local_api_server: bool = False
    """Whether a master's kubelet uses the API server of its own node."""
    api_labels: tuple[Label, ...] = ()
    """The labels that the layout's tool sets through the API."""
    api_taints: tuple[Taint, ...] = ()
    """The taints that the layout's tool sets through the API."""
    cgroup_v1: bool = False
    """Allow the kubelet to run on a cgroup v1 host."""
    swap: bool = False
    """Allow the kubelet to run on a host that has swap on."""
    modes: tuple[tuple[str, int], ...] = ()
    """Other modes than the usual ones for some ``files``, by name."""
    extra_flags: tuple[tuple[str, str | None], ...] = ()
    extra_settings: tuple[tuple[str, Any], ...] = ()
    """Values by flag name or configuration path."""
    own_files: tuple[FileStatement, ...] = ()
    """What is stated of files in addition to the rendered ones or instead of them."""
    identity: IdentityStatement = IdentityStatement()
    host: HostStatement = HostStatement()
    said_in: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Where settings and fields are stated, by name."""

    @property
    def node_ip(self) -> IPAddress | None:
        """The first address of ``--node-ip``; None where there is none, or nothing is stated."""
        return self.node_ips[0] if self.node_ips else None

    @property
    def flags(self) -> Flags:
        """The flags of the command line, in the article's order."""
        return self._resolution.flags

    @property
    def config(self) -> Flags:
        """The content of the KubeletConfiguration, by flag name; empty without one."""
        return self._resolution.config

    @property
    def settings(self) -> Flags:
        """What flags and configuration file set, by flag name."""
        return self._resolution.settings

    @property
    def changes(self) -> tuple[Change, ...]:
        """What differs in this version from the article's kubelet, and why."""
        return (*self._resolution.changes, *self.more_changes)

    @property
    def node_labels(self) -> Mapping[str, str]:
        """The labels that the kubelet registers its node with."""
        pairs = (pair.partition("=") for pair in _items(self.settings.get("node-labels", "")))
        return Named("label", {key: value for key, _, value in pairs})

    @property
    def labels_for_the_api(self) -> Mapping[str, str]:
        """The labels that an operator sets, by the API: this version may not set them itself."""
        keys = refused_labels((label.key for label in self.labels), self.version.minor)
        refused = (label for label in self.labels if label.key in keys)
        return {label.key: label.value for label in (*self.api_labels, *refused)}

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
        launcher = launcher_for(self.version, self.launched_by)
        return replace(launcher, program=self.program) if self.program else launcher

    @property
    def bundled(self) -> bool:
        """Whether the layout is one of ours, whose files are known to the byte."""
        return self.layout != "found"

    @property
    def runtime(self) -> Runtime:
        """The container runtime a real kubelet of this version needs."""
        return runtime_for(self.version)

    @property
    def executable(self) -> str:
        """``hyperkube`` or ``kubelet``: what the version's release contains."""
        return executable_name(self.version)

    @cached_property
    def _resolution(self) -> Resolution:
        own = {normal_name(name): value for name, value in self.extra_flags}
        if self.base is not None:
            required = tuple(host_settings(self.version.minor, self.cgroup_v1, self.swap))
            return resolve_base(
                self.base, self.version, self._fields, own, required, self._own_settings
            )
        if not self.bundled:
            flags = dict(self.stated_flags)
            for kind, value in self._own_settings:
                if kind.flag and value is None:
                    flags.pop(kind.flag, None)
                elif kind.flag:
                    flags[kind.flag] = flag_text(kind, value)
            return Resolution(Flags(flags), Flags(), ())
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
        fields = {"config": self.config_path, **self._fields}
        stated = {**{name: text for name, text in fields.items() if text}, **own}
        return {name: text for name, text in stated.items() if text is not None}

    @property
    def _intended(self) -> Mapping[str, str]:
        """The flags as the article writes them for 1.7.5."""
        flags: dict[str, str] = {}
        for name, value in self._fields.items():
            flags[name] = value
            if value and name in _FOLLOWERS:
                flags[_FOLLOWERS[name]] = "true"
        return flags

    @property
    def _fields(self) -> Mapping[str, str]:
        """The fields as flags, in the article's order; what states nothing is empty."""
        return {
            "bootstrap-kubeconfig": self.bootstrap_kubeconfig,
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
        """The files that are rendered, those whose paths are stated."""
        files = (
            FileSpec("ca.crt", self.client_ca_file, 0o644, from_pki=True),
            FileSpec("ca.key", self.ca_key_file, 0o600, secret=True, from_pki=True),
            FileSpec("kubeconfig", self.kubeconfig, 0o600, secret=True, from_pki=True),
            FileSpec("kubelet.service", self.unit_path, 0o644),
            # CIS Kubernetes Benchmark 4.1.9 asks for this mode of the configuration file.
            FileSpec("kubelet.yaml", self._rendered_config, 0o600),
            *self.more_files,
            FileSpec(
                "bootstrap-kubeconfig",
                self.bootstrap_kubeconfig,
                0o600,
                secret=True,
                from_pki=True,
                used_up=True,
            ),
        )
        modes, joins = dict(self.modes), bool(self.bootstrap_kubeconfig)
        return tuple(
            replace(
                file,
                mode=modes.get(file.name, file.mode),
                written=joins and (file.rotated or file.name == "kubeconfig"),
            )
            for file in files
            if file.path
        )

    @property
    def _rendered_config(self) -> str:
        return self.config_path if self.config or not self.bundled else ""

    def with_settings(self, settings: Mapping[str, Any], said_in: str = "") -> KubeletSpec:
        """Return this kubelet with settings changed, named by flag or by configuration path.

        They replace flags of the same setting. A setting whose value is None must not be set.
        Raises SettingError for one that this version does not have.
        """
        kubelet = self.without(settings)
        own = dict(kubelet.extra_settings)
        own.update({name: frozen(value) for name, value in settings.items()})
        return replace(kubelet, extra_settings=tuple(own.items())).noted(settings, said_in)

    def with_flags(self, changes: Mapping[str, str | None], said_in: str = "") -> KubeletSpec:
        """Return this kubelet with some flags set, or removed where the value is None."""
        kubelet = self.without(changes, keep_flags=True)
        own = {**dict(kubelet.extra_flags), **changes}
        return replace(kubelet, extra_flags=tuple(own.items())).noted(changes, said_in)

    def with_files(self, *files: FileStatement) -> KubeletSpec:
        """Return this kubelet with statements about files, instead of others of the same paths."""
        own = {file.path: file for file in (*self.own_files, *files)}
        return replace(self, own_files=tuple(own.values()))

    def with_labels(self, labels: Mapping[str, str]) -> KubeletSpec:
        """Return this kubelet with labels beside those it has, or with other values."""
        own = {label.key: label for label in self.labels}
        own.update({key: Label(key, value) for key, value in labels.items()})
        return replace(self, labels=tuple(own.values()))

    def with_taints(self, *taints: Taint | str) -> KubeletSpec:
        """Return this kubelet with these taints instead of others. Raises ValueError."""
        parsed = (Taint.parse(one) if isinstance(one, str) else one for one in taints)
        return replace(self, taints=tuple(parsed))

    def place(self, name: str) -> str:
        """Return where a setting or field is stated; empty if that is not known."""
        return dict(self.said_in).get(self._key(name), "")

    def without(self, names: Iterable[str], *, keep_flags: bool = False) -> KubeletSpec:
        """Return this kubelet without its own settings and flags of these names."""
        gone = {self._key(name) for name in names}
        settings = tuple(one for one in self.extra_settings if self._key(one[0]) not in gone)
        flags = tuple(
            one for one in self.extra_flags if keep_flags or self._key(one[0]) not in gone
        )
        return replace(self, extra_settings=settings, extra_flags=flags)

    def noted(self, names: Iterable[str], said_in: str) -> KubeletSpec:
        """Return this kubelet with the place where settings are stated."""
        places = {**dict(self.said_in), **{self._key(name): said_in for name in names}}
        return replace(self, said_in=tuple(places.items()))

    def _key(self, name: str) -> str:
        return normal_setting(self.version, name)


@dataclass(frozen=True)
class NodeSpec:
    """One node: its name, role and address, and the kubelet it must run."""

    name: str
    role: Role
    address: IPAddress
    kubelet: KubeletSpec

    @property
    def is_master(self) -> bool:
        """Whether the node is a master."""
        return self.role == "master"


@dataclass(frozen=True)
class ControlPlaneSpec:
    """The control plane on the masters: etcd and an API server on each of them.

    A ``hollow`` one is the bundled stand-in of the API server; a real one has a controller manager
    and a scheduler, too.
    """

    version: KubeVersion
    hollow: bool = True
    service_network: IPv4Network = IPv4Network("10.3.0.0/24")
    """The addresses of services; the article's cluster DNS, 10.3.0.10, is one of them."""
    pod_network: IPv4Network = IPv4Network("10.2.0.0/16")
    """The addresses of pods, of which each node has a subnet."""
    tls_bootstrap: bool = True
    """Whether nodes of a layout that has TLS bootstrap get their certificates by it."""
    signing_duration: str = ""
    """How long the certificates of kubelets are valid, such as ``48h``; a year unless stated."""


@dataclass(frozen=True)
class ClusterSpec:
    """The whole cluster, masters first; the value that every later stage only reads."""

    nodes: tuple[NodeSpec, ...]
    network: IPv4Network | None = None
    """The subnet that holds all nodes; None for existing machines."""
    version: KubeVersion = DEFAULT_VERSION
    image_url: str = "quay.io/coreos/hyperkube"
    api_server_port: int = 443
    api_server_url: str = ""
    """The URL of the API server, if it is not a master's but, for example, a load balancer's."""
    api_server_master: int = 3
    """Which master's API server is used where there is no URL; the last, where there are fewer."""
    control_plane: ControlPlaneSpec | None = None
    """The control plane that the masters run; None where the API server is not part of this."""

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
        """The URL of the API server; empty if there is neither a URL nor a master."""
        if self.api_server_url or not self.masters:
            return self.api_server_url
        return self._url(self.masters[: self.api_server_master][-1])

    def api_server_of(self, node: NodeSpec) -> str:
        """Return the URL of the API server that a node's kubelet uses."""
        if not node.kubelet.api_server and node.kubelet.local_api_server and node.is_master:
            return self._url(node)
        return node.kubelet.api_server or self.api_server

    def _url(self, master: NodeSpec) -> str:
        address = master.address
        host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        return f"https://{host}:{self.api_server_port}"

    def __iter__(self) -> Iterator[NodeSpec]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        """Return whether the cluster has a node: its name or its spec."""
        return any(node in (one.name, one) for one in self.nodes)

    def __getitem__(self, name: str) -> NodeSpec:
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNameError("node", name, [node.name for node in self.nodes])

    def with_kubelets(
        self,
        change: Callable[[KubeletSpec], KubeletSpec],
        *,
        role: Role | None = None,
        node: str | None = None,
    ) -> ClusterSpec:
        """Return this cluster with the kubelets changed of all nodes, of a role's, or of one.

        Raises UnknownNameError for an unknown node.
        """
        chosen = {self[node].name} if node else {n.name for n in self if role in (None, n.role)}
        return replace(
            self,
            nodes=tuple(
                replace(n, kubelet=change(n.kubelet)) if n.name in chosen else n for n in self.nodes
            ),
        )

    def with_flags(
        self,
        changes: Mapping[str, str | None],
        *,
        role: Role | None = None,
        node: str | None = None,
    ) -> ClusterSpec:
        """Return this cluster with kubelet flags changed on all nodes, a role's, or one.

        A flag whose value is None is removed. Raises UnknownNameError for an unknown node.
        """
        return self.with_kubelets(lambda one: one.with_flags(changes), role=role, node=node)

    def with_settings(
        self, settings: Mapping[str, Any], *, role: Role | None = None, node: str | None = None
    ) -> ClusterSpec:
        """Return this cluster with settings changed on all nodes, a role's, or one.

        A setting whose value is None must not be set. Raises UnknownNameError for an unknown node
        and SettingError for an unknown setting.
        """
        return self.with_kubelets(lambda one: one.with_settings(settings), role=role, node=node)

    def with_api_server(
        self, url: str, *, role: Role | None = None, node: str | None = None
    ) -> ClusterSpec:
        """Return this cluster with another API server for all nodes, a role's, or one.

        Raises UnknownNameError for an unknown node.
        """
        spec = self if role or node else replace(self, api_server_url=url)
        return spec.with_kubelets(lambda one: replace(one, api_server=url), role=role, node=node)

    def check(self) -> None:
        """Raise SpecError for a cluster that cannot exist, or for unknown settings."""
        self._check_names()
        self._check_addresses()
        if not self.masters and not self.api_server_url and self._needs_api_server:
            raise SpecError("a cluster needs a master: the API server's address is a master's")
        for node in self:
            _check_kubelet(node.name, node.kubelet)

    @property
    def _needs_api_server(self) -> bool:
        return any(node.kubelet.bundled for node in self)

    def _check_names(self) -> None:
        names = [node.name for node in self]
        for name in names:
            # It names files here, and is a pattern to ssh.
            if not _NAME.fullmatch(name):
                raise SpecError(
                    f"invalid node name {name!r}: it must consist of letters, digits, dots, "
                    "hyphens and underscores, and begin with a letter or digit"
                )
        if double := next((name for name in names if names.count(name) > 1), None):
            raise SpecError(f"two nodes have the name {double}")

    def _check_addresses(self) -> None:
        nodes: dict[IPAddress, list[str]] = {}
        for node in self:
            sharing = nodes.setdefault(node.address, [])
            sharing.append(node.name)
            if len(sharing) > 1 and node.address != NO_ADDRESS:
                # Machines behind NAT share an address and differ by port; it is not the node's own.
                both = " and ".join(sharing)
                how = "" if self.network else "; give each its own with private_ipv4"
                raise SpecError(f"{both} have the same address {node.address}{how}")
            if self.network and node.address not in self.network:
                raise SpecError(f"{node.name}'s address {node.address} is not in {self.network}")

    def summary(self) -> str:
        """Return the topology in words: ``3 masters, 1 worker``."""
        counts = ((len(self.masters), "master"), (len(self.workers), "worker"))
        return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)


def _check_kubelet(name: str, kubelet: KubeletSpec) -> None:
    version = kubelet.version
    if not version.known:
        raise SpecError(f"{name}: kubelet {version.number} is outside the known range, {KNOWN}")
    for setting, value in _given(kubelet):
        try:
            if value is not None:
                parse_setting(version, setting, value)
        except SettingError as error:
            place = kubelet.place(setting)
            raise SpecError(f"{name}: {error}{f' (set in {place})' if place else ''}") from None
    _check_combinations(name, kubelet)
    pathless = {name for name, _ in kubelet.modes} - {file.name for file in kubelet.files}
    if not kubelet.bundled and pathless:
        names = ", ".join(sorted(pathless))
        raise SpecError(f"{name}: modes: the path of {names} is not stated; state it or use files")
    labels = set(kubelet.node_labels)
    if not kubelet.bundled:
        # It is a statement of the node, whoever set it.
        labels -= kubelet.labels_for_the_api.keys()
    if refused := refused_labels(labels, version.minor):
        raise SpecError(
            f"{name}: kubelet {version.number} does not start with the node label"
            f"{'s' * (len(refused) > 1)} {', '.join(refused)}; only the API can set such labels"
        )


def _given(kubelet: KubeletSpec) -> Iterator[tuple[str, Any]]:
    """Yield the user's settings, and then the flags, which follow from them."""
    yield from kubelet.extra_settings
    yield from kubelet.flags.items()


def _check_combinations(name: str, kubelet: KubeletSpec) -> None:
    """Raise SpecError for settings that the version refuses together."""
    version, complete = kubelet.version, kubelet.layout != "found"
    if complete:
        settings = effective_settings(version, kubelet.flags, kubelet.configuration or None)
    else:
        stated = [*kubelet.stated_flags.items(), *kubelet.extra_settings]
        parsed = (parse_setting(version, key, one) for key, one in stated if one is not None)
        settings = {one.name: one for one in parsed}
    problems = []
    for message, paths in refusals(version, settings, complete=complete):
        places = dict.fromkeys(
            f"{path} in {place}" for path in paths if (place := kubelet.place(path))
        )
        problems.append(message + (f" (set: {', '.join(places)})" if places else ""))
    if problems:
        found = "\n  ".join(problems)
        raise SpecError(f"{name}: kubelet {version.number} refuses this configuration:\n  {found}")


def _bool_text(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _items(value: str) -> list[str]:
    return [item for item in value.split(",") if item]
