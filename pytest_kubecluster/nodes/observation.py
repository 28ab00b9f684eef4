"""What was seen of a node in one look, parsed once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from pytest_kubecluster.nodes.agent.process import program
from pytest_kubecluster.spec.flags import CommandLine, Flags, parse_argv
from pytest_kubecluster.spec.model import NodeSpec
from pytest_kubecluster.spec.names import Named
from pytest_kubecluster.spec.settings import (
    DEFAULT,
    SET_BY_FLAG_ALONE,
    Setting,
    SettingError,
    canonical_name,
    configuration_settings,
    effective_settings,
    flag_text,
    kind_of,
)
from pytest_kubecluster.spec.version import KubeVersion

if TYPE_CHECKING:
    from typing_extensions import Self

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 means no answer, and ``body`` is the reason."""

    status: int
    body: str
    port: int = field(default=0, compare=False)
    certificate: str = field(default="", compare=False, repr=False)
    """The server's certificate in PEM, of a TLS port."""


@dataclass(frozen=True)
class File:
    """A file or folder on the node."""

    path: str
    owner: str
    group: str
    mode: int
    kind: str = "file"
    """``file``, ``directory`` or ``other``."""
    digest: str = ""
    """The SHA-256 of its content; empty where it was not read."""
    content: bytes | None = field(default=None, repr=False)
    """None where the content is secret and stays on the node, or was not read."""
    cut: bool = False
    """Whether passwords were cut out of ``content``."""
    problem: str = ""
    """Why it could not be read."""

    @property
    def text(self) -> str:
        """The content as text; nothing where it was not read."""
        return (self.content or b"").decode(errors="replace")


@dataclass(frozen=True)
class Document:
    """A file of ``--config`` or ``--config-dir``, without secrets."""

    path: str
    file: File | None
    document: Mapping[str, Any]
    problem: str = ""
    drop_in: bool = False


@dataclass(frozen=True)
class Authority:
    """A file or text with CA certificates, in PEM."""

    path: str
    certificates: tuple[str, ...]
    problem: str = ""
    file: File | None = None
    key_file: File | None = None
    """Its private key, if that is in the same folder."""


@dataclass(frozen=True)
class Kubeconfig:
    """The kubeconfig that the kubelet was given, and what its current context leads to."""

    path: str
    file: File | None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole document, with keys, tokens and passwords cut out."""
    problem: str = ""
    """Why it cannot be read."""
    choice: str = ""
    """Why no cluster and user can be chosen."""
    server: str = ""
    insecure: bool = False
    authority: Authority = Authority("", ())
    kind: str = ""
    """How the kubelet identifies itself: ``certificate``, ``token``, ``exec plugin`` …"""
    certificates: tuple[str, ...] = ()
    """The client certificate, and those that it is sent with."""
    key: str = ""
    """``matches`` if the key is the certificate's, or the problem."""
    files: Mapping[str, tuple[File | None, bool]] = field(default_factory=dict)
    """The files it names, by path, and whether what they hold is secret."""
    bootstrap: Kubeconfig | None = None


@dataclass(frozen=True)
class Process:
    """The process that is the kubelet."""

    pid: int
    argv: tuple[str, ...]
    is_main: bool
    """Whether it is the unit's main process, not a child or another process."""
    program: str
    """The path of its program's file."""
    file: File | None
    replaced: str
    """How that file is not the one that runs, if it is not."""
    contained: bool
    """Whether it has a file system of its own, as in a container."""


@dataclass(frozen=True)
class StaticPods:
    """The folder that the kubelet reads static pods from, and the files in it."""

    path: str
    file: File | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Proxy:
    """The node's kube-proxy; without ``argv`` none runs, but its kubeconfig may be there."""

    argv: tuple[str, ...] = ()
    contained: bool = False
    """Whether it has a file system of its own, as in a pod."""
    configuration: Document | None = None
    """The file of its ``--config``."""
    kubeconfig: str = ""
    """The path of its kubeconfig."""
    kubeconfig_file: File | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Observation:
    """A node's kubelet as it was seen in one look.

    The evidence, from weakest to strongest: files, systemd's account (``unit``), the process's argv
    (``flags``), and the kubelet's own ports (``healthz``, ``anonymous``, ``own``, ``configz``).
    """

    spec: NodeSpec
    """The node that was looked at; the version of its kubelet reads what names none itself."""
    rendered: Mapping[str, bytes]
    """The bytes of the files that this run rendered for the node, by path."""
    api_server: str
    """The API server of the node's cluster; empty where any will do."""
    time: float
    monotonic: float
    hostname: str
    unit: Mapping[str, str]
    """Systemd's account of the kubelet's unit, as ``systemctl show`` names it."""
    unit_files: Mapping[str, tuple[str, File | None]]
    """The files that make the unit, by path: ``unit``, ``drop-in`` or ``environment``."""
    triggers: Mapping[str, Mapping[str, str]]
    """Systemd's account of the units that start the kubelet's: paths, sockets, timers."""
    resolved: Mapping[str, str]
    """Systemd's account of systemd-resolved."""
    verify: tuple[int, str]
    """Exit status and output of ``systemd-analyze verify`` on the unit; -1 if it did not run."""
    failed_units: Sequence[str]
    journal: Sequence[str]
    """The kubelet's last 50 lines."""
    process: Process | None
    kubelets: Sequence[tuple[int, tuple[str, ...]]]
    """All kubelets of the node: pid, and the first words of argv."""
    unit_processes: Sequence[tuple[str, ...]]
    said_version: str
    """The running kubelet's version, as it reports it; empty if it is unknown."""
    version_source: str
    """The source of the version, or why it is unknown."""
    documents: Sequence[Document]
    """The configuration files in the order in which they are merged."""
    credentials: Kubeconfig | None
    """The kubeconfig in use; None for a kubelet that has no API server."""
    client_ca: Authority
    proxy: Proxy
    addresses: Sequence[Address]
    """The addresses of the node's interfaces, without link-local ones."""
    files: Mapping[str, File | None]
    """The files the spec names, by path; None for one that is missing."""
    lock_file: File | None
    lock_path: str
    static_pods: StaticPods | None
    ports: Mapping[str, int]
    """The ports that were asked: ``healthz`` and ``kubelet``; 0 for one that is off."""
    holders: Mapping[int, tuple[int, tuple[str, ...]]]
    """The listeners on these ports: pid, and the first words of argv."""
    answers: Mapping[str, Answer]
    resolv_conf: str
    problems: Mapping[str, str]
    """Parts of the look that failed, and why."""

    def __repr__(self) -> str:
        return f"<kubelet on {self.hostname}: {self.command_line_text}>"

    @classmethod
    def parse(
        cls,
        seen: Mapping[str, Any],
        spec: NodeSpec,
        rendered: Mapping[str, bytes],
        api_server: str = "",
    ) -> Self:
        """Return the observation of what the agent saw."""
        return cls(spec=spec, rendered=rendered, api_server=api_server, **_fields(seen))

    @property
    def running(self) -> bool:
        """Whether the unit runs a kubelet."""
        return self.process is not None

    @property
    def command_line_text(self) -> str:
        """The running process's argv as one line, or a note that no kubelet runs."""
        return " ".join(self.process.argv) if self.process else "not running"

    @property
    def version(self) -> KubeVersion | None:
        """The running kubelet's version; None if it is unknown."""
        found = re.match(r"v?(\d+\.\d+\.\d+)", self.said_version)
        return KubeVersion.parse(found[1]) if found else None

    @property
    def read_as(self) -> KubeVersion:
        """The version whose flags and fields these are: the running one, or the spec's."""
        seen = self.version
        return seen if seen and seen.known else self.spec.kubelet.version

    @cached_property
    def command_line(self) -> CommandLine:
        """The running process's argv, parsed as its kubelet parses it. Raises FlagError."""
        argv = self.process.argv if self.process else ()
        name = program(argv)
        start = argv.index(name) if name else 0
        parsed = parse_argv(argv[start:], self.read_as.minor_version)
        return CommandLine((*argv[:start], *parsed.launcher), parsed.flags, parsed.extra)

    @property
    def flags(self) -> Flags:
        """The flags of the running process; empty if no kubelet runs. Raises FlagError."""
        return self.command_line.flags

    @cached_property
    def effective(self) -> Mapping[str, Setting]:
        """All settings the kubelet runs with, by canonical name; empty if no kubelet runs.

        Raises FlagError for a command line that its version does not take.
        """
        if self.process is None:
            return {}
        base = next((one for one in self.documents if not one.drop_in), None)
        drop_ins = [(one.path, one.document) for one in self.documents if one.drop_in]
        return effective_settings(
            self.read_as,
            self.flags,
            None if base is None else base.document,
            drop_ins,
            configuration_path=base.path if base else "",
        )

    def stated(self, name: str) -> Setting | None:
        """Return a setting if anything on the node states it, and None for a default."""
        setting = self.effective.get(name)
        return setting if setting and setting.said_in != DEFAULT else None

    def setting(self, flag: str) -> Any:
        """Return the value of a setting, by the name of its flag; None if it has no value."""
        try:
            setting = self.effective.get(canonical_name(self.read_as, flag))
        except SettingError:
            return None
        return setting.value if setting else None

    @cached_property
    def settings(self) -> Flags:
        """All that the kubelet is configured with, by flag name, as flags write the values."""
        return Flags({**self.config, **{k: v for k, v in self.flags.items() if k != "config"}})

    @cached_property
    def config(self) -> Flags:
        """The settings in the configuration files, by flag name; empty without such files."""
        found = {}
        for setting in self.effective.values():
            flag = flag_of(self.read_as, setting.name)
            if flag and setting.said_in != DEFAULT and not setting.said_in.startswith("--"):
                found[flag] = setting_text(self.read_as, setting.name, setting.value)
        return Flags(found)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels the kubelet gives its node."""
        pairs = (one.partition("=") for one in self.settings.get("node-labels", "").split(","))
        return Named("label", {key: text for key, _, text in pairs if key})

    @property
    def taints(self) -> Sequence[str]:
        """The taints the kubelet registers its node with, as the flag writes them."""
        value = self.settings.get("register-with-taints", "")
        return tuple(part for part in value.split(",") if part)

    @property
    def node_ips(self) -> Sequence[Address]:
        """The addresses of ``--node-ip``, one or a pair of both families; without invalid ones."""
        found = []
        for text in self.settings.get("node-ip", "").split(","):
            try:
                found.append(ip_address(text.strip()))
            except ValueError:
                continue
        return tuple(found)

    @property
    def node_ip(self) -> IPv4Address | None:
        """The IPv4 address of ``--node-ip``, if that is one such address."""
        (first, *others) = self.node_ips or (None,)
        return first if isinstance(first, IPv4Address) and not others else None

    @property
    def registered_name(self) -> str:
        """The name that the kubelet gives its node (GetHostname in pkg/util/node)."""
        override = self.flags.get("hostname-override", "")
        return (override.strip() or self.hostname).lower()

    @property
    def kubeconfig(self) -> Mapping[str, Any]:
        """The kubeconfig in use, parsed, with keys, tokens and passwords cut out.

        ``error`` is the reason if there is none.
        """
        if self.credentials is None:
            return {"error": "the kubelet has no --kubeconfig"}
        if self.credentials.problem:
            return {"error": f"{self.credentials.path}: {self.credentials.problem}"}
        return self.credentials.document

    @property
    def own_key(self) -> str:
        """``matches`` if the kubeconfig's key is its certificate's, or the problem."""
        if self.credentials is None:
            return "the kubelet has no --kubeconfig"
        return self.credentials.key or self.credentials.choice or self.credentials.problem

    @property
    def healthz(self) -> Answer:
        """What the healthz port answers."""
        return self._answer("healthz", "it is off")

    @property
    def anonymous(self) -> Answer:
        """What the kubelet's port answers to a client without a certificate."""
        return self._answer("anonymous", "it is off")

    @property
    def own(self) -> Answer:
        """The answer of the kubelet's port on /healthz to the kubelet's own certificate."""
        return self._answer("own_healthz", self.own_key)

    @property
    def pods(self) -> Answer:
        """The answer of the kubelet's port on /pods to the kubelet's own certificate."""
        return self._answer("own_pods", self.own_key)

    @property
    def configz_answer(self) -> Answer:
        """The answer of the kubelet's port on /configz to the kubelet's own certificate."""
        return self._answer("own_configz", self.own_key)

    @cached_property
    def configz(self) -> Mapping[str, Any]:
        """The kubelet's configuration on /configz; empty where it does not show it."""
        if self.configz_answer.status != 200:
            return {}
        try:
            (configuration,) = json.loads(self.configz_answer.body).values()
        except (ValueError, AttributeError):
            return {}
        return dict(configuration) if isinstance(configuration, dict) else {}

    @cached_property
    def configured(self) -> Mapping[str, Setting]:
        """The settings that /configz shows, by canonical name."""
        shown = configuration_settings(self.read_as, self.configz, "/configz")
        return {name: one for name, one in shown.items() if name not in SET_BY_FLAG_ALONE}

    def _answer(self, name: str, otherwise: str) -> Answer:
        return self.answers.get(name) or Answer(0, f"not asked: {otherwise}")


def flag_of(version: KubeVersion, name: str) -> str | None:
    """Return the flag of a setting, or None if only a configuration file can state it."""
    try:
        return kind_of(version, name).flag
    except SettingError:
        return None


def setting_name(version: KubeVersion, name: str) -> str:
    """Return what people call a setting: its flag, or its path in the configuration."""
    flag = flag_of(version, name)
    return f"--{flag}" if flag else name


def setting_text(version: KubeVersion, name: str, value: Any) -> str:
    """Return a setting's value as its flag writes it, or as YAML would in one line."""
    try:
        return flag_text(kind_of(version, name), value)
    except SettingError:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _fields(seen: Mapping[str, Any]) -> dict[str, Any]:
    version = seen["version"]
    lock = seen["lock_file"] or {}
    pods = seen["static_pods"]
    verify = seen["verify"] or {"status": -1, "output": seen["problems"].get("verify", "")}
    return {
        "time": seen["time"],
        "monotonic": seen["monotonic"],
        "hostname": seen["hostname"],
        "unit": seen["unit"],
        "unit_files": {
            path: (one["kind_of_file"], None if one.get("missing") else _file(path, one))
            for path, one in seen["unit_files"].items()
        },
        "triggers": seen["triggers"] or {},
        "resolved": seen["resolved"],
        "verify": (verify["status"], verify["output"].strip()),
        "failed_units": tuple(seen["failed_units"] or ()),
        "journal": tuple(seen["journal"] or ()),
        "process": _process(seen["kubelet"]),
        "kubelets": tuple((one["pid"], tuple(one["argv"])) for one in seen["kubelets"]),
        "unit_processes": tuple(map(tuple, seen["unit_processes"])),
        "said_version": version["text"],
        "version_source": version["source"] or version.get("problem", ""),
        "documents": tuple(map(_document, seen["configuration"])),
        "credentials": _kubeconfig(seen["kubeconfig"], seen["problems"].get("kubeconfig", "")),
        "client_ca": _authority(seen["client_ca"]),
        "proxy": _proxy(seen.get("proxy") or {}),
        "addresses": tuple(map(_interface_address, seen["addresses"] or ())),
        "files": {path: one and _file(path, one) for path, one in seen["files"].items()},
        "lock_file": _file(lock["path"], lock["file"]) if lock.get("file") else None,
        "lock_path": lock.get("path", ""),
        "static_pods": pods
        and StaticPods(
            pods["path"], pods["file"] and _file(pods["path"], pods["file"]), tuple(pods["names"])
        ),
        "ports": seen["ports"],
        "holders": {
            int(port): (one["pid"], tuple(one["argv"])) for port, one in seen["holders"].items()
        },
        "answers": {
            name: Answer(one["status"], one["body"], one["port"], one.get("certificate", ""))
            for name, one in seen["answers"].items()
            if one
        },
        "resolv_conf": seen["resolv_conf"],
        "problems": seen["problems"],
    }


def _interface_address(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _file(path: str, seen: Mapping[str, Any]) -> File:
    content = base64.b64decode(seen["content"]) if "content" in seen else None
    return File(
        path,
        seen["owner"],
        seen["group"],
        seen["mode"],
        seen["kind"],
        seen.get("sha256", ""),
        content,
        bool(seen.get("cut")),
        seen.get("problem", ""),
    )


def _process(seen: Mapping[str, Any] | None) -> Process | None:
    if seen is None:
        return None
    file = seen["program_file"]
    return Process(
        seen["pid"],
        tuple(seen["argv"]),
        seen["main"],
        seen["program"],
        file and _file(seen["program"], file),
        seen["replaced"],
        bool(seen["root"]),
    )


def _document(seen: Mapping[str, Any]) -> Document:
    file = _file(seen["path"], seen) if "owner" in seen else None
    return Document(
        seen["path"],
        file,
        seen.get("document", {}),
        seen.get("problem", ""),
        bool(seen.get("drop_in")),
    )


def _authority(seen: Mapping[str, Any]) -> Authority:
    path, file = seen.get("path", ""), seen.get("file")
    return Authority(
        path,
        tuple(seen.get("certificates", ())),
        seen.get("problem", ""),
        _file(path, file) if file else None,
        _file(seen["key_path"], seen["key_file"]) if seen.get("key_file") else None,
    )


def _proxy(seen: Mapping[str, Any]) -> Proxy:
    configuration, kubeconfig = seen.get("configuration"), seen.get("kubeconfig") or {}
    path, file = kubeconfig.get("path", ""), kubeconfig.get("file")
    return Proxy(
        tuple(seen.get("argv", ())),
        bool(seen.get("contained")),
        _document(configuration) if configuration else None,
        path,
        _file(path, file) if file else None,
    )


def _kubeconfig(seen: Mapping[str, Any] | None, problem: str) -> Kubeconfig | None:
    if seen is None:
        return Kubeconfig("", None, problem=problem) if problem else None
    path = seen["path"]
    return Kubeconfig(
        path=path,
        file=_file(path, seen["file"]) if seen.get("file") else None,
        document=_with_certificates(seen),
        problem=seen.get("problem", ""),
        choice=seen.get("choice", ""),
        server=seen.get("server", ""),
        insecure=bool(seen.get("insecure")),
        authority=_authority(seen.get("authority", {})),
        kind=seen.get("kind", ""),
        certificates=tuple(seen.get("certificates", ())),
        key=seen.get("key", ""),
        files={
            name: (_file(name, one) if "owner" in one else None, bool(one["secret"]))
            for name, one in seen.get("files", {}).items()
        },
        bootstrap=_kubeconfig(seen.get("bootstrap"), ""),
    )


def _with_certificates(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a kubeconfig's document; what its context uses from files is in it, as if embedded."""
    document: Mapping[str, Any] = seen.get("document", {})
    authority = seen.get("authority", {}).get("certificates", ())
    found = {
        ("clusters", seen.get("cluster")): ("certificate-authority", authority),
        ("users", seen.get("user")): ("client-certificate", seen.get("certificates", ())),
    }
    result = dict(document)
    for (kind, name), (key, certificates) in found.items():
        entries = []
        for entry in document.get(kind) or ():
            body = entry.get(kind[:-1]) if isinstance(entry, Mapping) else None
            if certificates and isinstance(body, Mapping) and (entry.get("name") or "") == name:
                data = base64.b64encode("".join(certificates).encode()).decode()
                entry = {**entry, kind[:-1]: {f"{key}-data": data, **body}}
            entries.append(entry)
        if entries:
            result[kind] = entries
    return result
