"""What was seen of a node in one look, parsed once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any

from pytest_kubecluster.nodes.agent.process import program
from pytest_kubecluster.nodes.agent_answer import fields_of
from pytest_kubecluster.nodes.parts import (
    Address,
    Answer,
    Authority,
    Document,
    File,
    Kubeconfig,
    Process,
    Proxy,
    Running,
    StaticPods,
)
from pytest_kubecluster.spec.flags import CommandLine, Flags, parse_argv
from pytest_kubecluster.spec.kinds import (
    SET_BY_FLAG_ALONE,
    SettingError,
    canonical_name,
    flag_of,
    setting_text,
)
from pytest_kubecluster.spec.model import NodeSpec
from pytest_kubecluster.spec.names import Named
from pytest_kubecluster.spec.settings import (
    DEFAULT,
    Setting,
    configuration_settings,
    effective_settings,
)
from pytest_kubecluster.spec.version import KubeVersion

if TYPE_CHECKING:
    from typing_extensions import Self


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
    kubelets: Sequence[Running]
    """All kubelets of the node."""
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
        return cls(spec=spec, rendered=rendered, api_server=api_server, **fields_of(seen))

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
