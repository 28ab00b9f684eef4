"""What a kubelet is seen to be, and how that differs from what it must be."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from pytest_kubecluster.spec.flags import CommandLine, FlagError, Flags, parse_argv, same_value
from pytest_kubecluster.spec.model import FileSpec, KubeletSpec
from pytest_kubecluster.spec.translate import settings_of
from pytest_kubecluster.spec.version import KubeVersion


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 means that there was none, and ``body`` why."""

    status: int
    body: str


@dataclass(frozen=True)
class Difference:
    """Something that is not what it must be; None is a thing that is not there."""

    what: str
    expected: str | None
    actual: str | None


@dataclass(frozen=True)
class FileView:
    """A file on the node: who owns it, its mode, and whether its bytes are those rendered."""

    owner: str
    group: str
    mode: int
    as_rendered: bool | None
    """None where nobody here knows what its bytes must be."""
    content: bytes | None = field(repr=False)
    """None where the content is secret and stays on the node."""


class KubeletView:
    """A kubelet as it was seen in one look at its node.

    Compares equal to the KubeletSpec it satisfies; ``differences`` says where it does not. The
    evidence, from weakest to strongest: files, systemd's account (``unit``), the process's argv
    (``flags``), and the kubelet's own ports (``healthz``, ``anonymous``, ``own``, ``configz``).
    """

    def __init__(
        self, spec: KubeletSpec, seen: Mapping[str, Any], expected: Mapping[str, bytes]
    ) -> None:
        """Take what the probe saw, and the rendered bytes of the files by path."""
        self._spec = spec
        self._seen = seen
        self._expected = expected

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KubeletSpec):
            return NotImplemented
        return not self.differences(other)

    def __repr__(self) -> str:
        return f"<kubelet on {self._seen['hostname']}: {self.command_line_text}>"

    @property
    def _version(self) -> KubeVersion:
        return self._spec.version

    @property
    def command_line_text(self) -> str:
        """The running process's argv as one line, or that there is none."""
        return " ".join(self._seen["argv"]) or "not running"

    @property
    def version(self) -> KubeVersion | None:
        """The version that the running program says it is; None where it says none."""
        # Kubelets of 1.7 complain of their own protocol buffers first.
        found = re.search(r"^Kubernetes (v\d+\.\d+\.\d+)", self._seen["version"], re.MULTILINE)
        return KubeVersion.parse(found[1]) if found else None

    @property
    def unit(self) -> Mapping[str, str]:
        """Systemd's account of the kubelet's unit, as ``systemctl show`` names it."""
        unit: Mapping[str, str] = self._seen["unit"]
        return unit

    @property
    def resolved(self) -> Mapping[str, str]:
        """Systemd's account of systemd-resolved."""
        resolved: Mapping[str, str] = self._seen["resolved"]
        return resolved

    @property
    def verify(self) -> tuple[int, str]:
        """Exit status and output of ``systemd-analyze verify`` on the unit."""
        return self._seen["verify"]["status"], self._seen["verify"]["output"].strip()

    @property
    def failed_units(self) -> Sequence[str]:
        """The units of the node that failed."""
        return tuple(self._seen["failed_units"])

    @property
    def journal(self) -> Sequence[str]:
        """The kubelet's last 50 lines."""
        return tuple(self._seen["journal"])

    @property
    def running(self) -> bool:
        """Whether the unit has a main process."""
        return bool(self._seen["argv"])

    @cached_property
    def command_line(self) -> CommandLine:
        """The running process's argv, parsed as its kubelet parses it. Raises FlagError."""
        return parse_argv(self._seen["argv"], self._version.minor_version)

    @property
    def flags(self) -> Flags:
        """The flags of the running process; none where nothing runs."""
        return self.command_line.flags

    @cached_property
    def config(self) -> Flags:
        """What the KubeletConfiguration on the node says, by flag name; nothing where none is."""
        file = self.files.get(self.flags.get("config", ""))
        if file is None or file.content is None:
            return Flags()
        try:
            document = yaml.safe_load(file.content)
        except yaml.YAMLError:
            return Flags()
        return Flags(settings_of(document if isinstance(document, dict) else {}, self._version))

    @property
    def settings(self) -> Flags:
        """All that the kubelet is told, by its command line or else by its file."""
        return Flags({**self.config, **self.flags})

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels the kubelet gives its node."""
        return _pairs(self.settings.get("node-labels", ""))

    @property
    def taints(self) -> Sequence[str]:
        """The taints the kubelet registers its node with, as the flag writes them."""
        value = self.settings.get("register-with-taints", "")
        return tuple(part for part in value.split(",") if part)

    @property
    def node_ip(self) -> IPv4Address | None:
        """The IPv4 address the kubelet says its node has; None where it says none, or another."""
        try:
            return IPv4Address(self.settings.get("node-ip", ""))
        except ValueError:
            return None

    @property
    def addresses(self) -> Sequence[IPv4Address]:
        """The IPv4 addresses of the node's interfaces."""
        return tuple(IPv4Address(address) for address in self._seen["addresses"])

    @cached_property
    def files(self) -> Mapping[str, FileView | None]:
        """The files the spec names, by path; None for one that is missing."""
        return {path: self._file(path, seen) for path, seen in self._seen["files"].items()}

    @cached_property
    def kubeconfig(self) -> Mapping[str, Any]:
        """The kubeconfig on the node, parsed, with the private key cut out.

        Certificates that it names the files of are in it, as if it had them itself.
        """
        try:
            parsed = yaml.safe_load(self._seen["kubeconfig"])
        except yaml.YAMLError as error:
            return {"error": str(error)}
        return parsed if isinstance(parsed, dict) else {"error": "no kubeconfig is there"}

    @property
    def own_key(self) -> str:
        """``matches`` if the kubeconfig's key is its certificate's, or what is wrong."""
        problem: str = self._seen["own_key"]
        return problem

    @property
    def lock_file(self) -> Mapping[str, Any] | None:
        """Who owns the lock file, and its mode, learned without opening it."""
        lock_file: Mapping[str, Any] | None = self._seen["lock_file"]
        return lock_file

    @property
    def resolv_conf(self) -> str:
        """The node's /etc/resolv.conf."""
        text: str = self._seen["resolv_conf"]
        return text

    @property
    def healthz(self) -> Answer:
        """What 127.0.0.1:10248/healthz answers."""
        return self._answer("healthz")

    @property
    def anonymous(self) -> Answer:
        """What port 10250 answers to a client without a certificate."""
        return self._answer("anonymous")

    @property
    def own(self) -> Answer:
        """What port 10250 answers on /healthz to the kubelet's own certificate."""
        return self._answer("own_healthz")

    @property
    def pods(self) -> Answer:
        """What port 10250 answers on /pods to the kubelet's own certificate."""
        return self._answer("own_pods")

    @cached_property
    def configz(self) -> Mapping[str, Any]:
        """What the kubelet says of its configuration on /configz; empty where it says nothing."""
        answer = self._answer("own_configz")
        if answer.status != 200:
            return {}
        parsed: dict[str, Any] = json.loads(answer.body)
        (configuration,) = parsed.values()
        return dict(configuration)

    @cached_property
    def configured(self) -> Flags:
        """What /configz says of the flags that a spec sets, by flag name."""
        return Flags(settings_of(self.configz, self._version))

    def differences(self, spec: KubeletSpec) -> list[Difference]:
        """Return where the kubelet is not what ``spec`` asks for: flags, unit, files, address."""
        return [
            *self._flag_differences(spec),
            *self._unit_differences(spec),
            *(d for file in spec.files for d in self._file_differences(file)),
            *(
                [Difference("node-ip on an interface", str(spec.node_ip), None)]
                if spec.node_ip not in self.addresses
                else []
            ),
        ]

    def _flag_differences(self, spec: KubeletSpec) -> list[Difference]:
        if not self.running:
            return [Difference("kubelet process", "running", None)]
        try:
            actual = self.flags
        except FlagError as error:
            return [Difference("command line", "one the kubelet accepts", str(error))]
        minor = spec.version.minor_version
        return [
            Difference(f"--{name}", spec.flags.get(name), actual.get(name))
            for name in dict.fromkeys([*spec.flags, *actual])
            if not same_value(name, spec.flags.get(name), actual.get(name), minor)
        ]

    def _unit_differences(self, spec: KubeletSpec) -> list[Difference]:
        wanted = {
            "FragmentPath": spec.unit_path,
            "UnitFileState": "enabled",
            "ActiveState": "active",
            "SubState": "running",
        }
        return [
            Difference(f"unit {name}", value, self.unit.get(name) or None)
            for name, value in wanted.items()
            if self.unit.get(name) != value
        ]

    def _file_differences(self, spec: FileSpec) -> list[Difference]:
        file = self.files.get(spec.path)
        if file is None:
            return [Difference(spec.path, "a file", None)]
        pairs = {
            "owner": (f"{spec.owner}:{spec.group}", f"{file.owner}:{file.group}"),
            "mode": (f"{spec.mode:04o}", f"{file.mode:04o}"),
            "content": (
                "as rendered",
                "other bytes" if file.as_rendered is False else "as rendered",
            ),
        }
        return [
            Difference(f"{spec.path} {name}", expected, actual)
            for name, (expected, actual) in pairs.items()
            if expected != actual
        ]

    def _file(self, path: str, seen: Mapping[str, Any] | None) -> FileView | None:
        if seen is None:
            return None
        as_rendered = None
        if (expected := self._expected.get(path)) is not None:
            as_rendered = seen["sha256"] == hashlib.sha256(expected).hexdigest()
        content = base64.b64decode(seen["content"]) if "content" in seen else None
        return FileView(seen["owner"], seen["group"], seen["mode"], as_rendered, content)

    def _answer(self, name: str) -> Answer:
        missing = {"status": 0, "body": f"not asked: {self.own_key}"}
        answer = self._seen.get(name, missing)
        return Answer(answer["status"], answer["body"])


def difference_table(differences: Sequence[Difference], width: int = 160) -> list[str]:
    """Return the lines of a table of differences."""
    table = Table(box=None, pad_edge=False, header_style="")
    for column in ("", "expected", "actual"):
        table.add_column(column, overflow="fold")
    for one in differences:
        table.add_row(one.what, one.expected or "(absent)", one.actual or "(absent)")
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def _pairs(value: str) -> dict[str, str]:
    split = (pair.partition("=") for pair in value.split(",") if pair)
    return {key: text for key, _, text in split}
