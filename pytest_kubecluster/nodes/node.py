"""A node's handle: how to reach it, its spec, and observations of its kubelet."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.nodes import transport
from pytest_kubecluster.nodes.agent.look import HEALTHZ, KUBELET
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.api_view import ApiView, find_object, look_through
from pytest_kubecluster.nodes.kubelet import Kubelet
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.verdict import Case, case_of
from pytest_kubecluster.nodes.verdict.files import bundled_folders
from pytest_kubecluster.spec.flags import FlagError
from pytest_kubecluster.spec.kinds import SettingError, canonical_name
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec, Role
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.spec.statements import Statements, statements_of
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.process import capture

if TYPE_CHECKING:
    from testinfra.backend.base import CommandResult
    from testinfra.host import Host

_COMMAND_SECONDS = 60.0
_BOOT_SECONDS = 120.0
_POLL_SECONDS = 0.25


@dataclass(eq=False, repr=False)
class Node:
    """One node of the cluster.

    ``host`` is a plain testinfra Host (as root); ``spec`` what the node must be; ``kubelet`` what
    its kubelet is seen to be. One look is shared until something may have changed the node: a
    command of ``host`` or ``run``, a reboot, a wait, another run of the playbook, or a rerun of the
    test.
    """

    spec: NodeSpec
    access: Access
    api_server: str = ""
    """The cluster's API server, if the node has to use it."""
    used: bool = True
    """Whether the present test used ``kubelet``, so that its facts are those of that look."""
    changes: int = 0
    """How often something was done that may have changed the node."""
    _view: Kubelet | KubeClusterError | None = None
    _seen_name: str = ""
    """The name that the kubelet was seen to register its node with."""

    @classmethod
    def of(cls, cluster: ClusterSpec, name: str, access: Access) -> Node:
        """Return the handle of a node of ``cluster``."""
        spec = cluster[name]
        rendered = spec.kubelet.bundled
        server = cluster.api_server_of(spec) if rendered else cluster.api_server_url
        return cls(spec, access, server)

    def __repr__(self) -> str:
        return f"<{self.name} {self.address}>"

    @property
    def name(self) -> str:
        """The node's name and host name, ``master01``."""
        return self.spec.name

    @property
    def role(self) -> Role:
        """``master`` or ``worker``."""
        return self.spec.role

    @property
    def address(self) -> IPAddress:
        """The node's address in the cluster's network."""
        return self.spec.address

    @cached_property
    def host(self) -> Host:
        """A testinfra Host over the cluster's shared ssh connection, acting as root.

        After each of its commands, ``kubelet`` is looked at again. Raises KubeClusterError if the
        node cannot be used.
        """
        # Imported here, since pytest rewrites the assertions of testinfra when it starts.
        from pytest_kubecluster.nodes.testinfra_host import root_host

        self._check_usable()
        return root_host(self.name, self.access, self.forget)

    @property
    def files(self) -> Mapping[str, Path]:
        """The rendered files of the node on this host, by their path on the node."""
        folder = Path(self.access.files)
        return {file.path: folder / file.name for file in self.spec.kubelet.files}

    @property
    def kubelet(self) -> Kubelet:
        """What the kubelet is seen to be, from one look that costs one ssh round trip."""
        __tracebackhide__ = True
        self.used = True
        if isinstance(self._view, KubeClusterError):
            raise self._view
        return self._view or self.refresh()

    @property
    def seen(self) -> Kubelet | None:
        """The last look at the kubelet; None if there was none, or it failed."""
        return None if isinstance(self._view, KubeClusterError) else self._view

    def refresh(self) -> Kubelet:
        """Look at the kubelet again, for all later uses of ``kubelet``.

        Raises KubeClusterError; ``kubelet`` raises the same until the next ``refresh``.
        """
        __tracebackhide__ = True
        try:
            self._view = view = self.look()
        except KubeClusterError as error:
            self._view = error
            raise
        with suppress(FlagError):
            self._seen_name = view.registered_name
        return view

    def forget(self) -> None:
        """Look again at the next use of ``kubelet``: the node may have changed."""
        self._view = None
        self.changes += 1

    def look(self) -> Kubelet:
        """Observe the kubelet. Raises KubeClusterError."""
        __tracebackhide__ = True
        files = self.files.items()
        rendered = {path: file.read_bytes() for path, file in files if file.exists()}
        stated = statements_of(self.spec, rendered)
        seen = self.ask("look", look_request(self.spec, stated))
        return Kubelet.parse(seen, self.spec, rendered, self.api_server)

    def case(self) -> Case:
        """Return what checks judge: the present observation, and what the spec states."""
        __tracebackhide__ = True
        if not self.access.ssh_config:
            stated = statements_of(self.spec)
            return Case(None, stated, self.spec.kubelet, self.look_through_api)
        case = case_of(self.kubelet, self.spec)
        return replace(case, look_through_api=self.look_through_api if self.api else None)

    @cached_property
    def api(self) -> ApiServer | None:
        """The API server that is asked about the node; None where there is none to ask."""
        if not self.access.kubeconfig:
            return None
        return ApiServer(Path(self.access.kubeconfig), ours=self.access.own_control_plane)

    @property
    def object(self) -> NodeObject:
        """The Node object as the API server has it now. Raises KubeClusterError."""
        __tracebackhide__ = True
        if self.api is None:
            raise KubeClusterError(
                f"{self.name}: there is no API server to ask; run with --kube-control-plane or "
                "--kube-kubeconfig"
            )
        found = find_object(self.api, self.registered_name, self.address)
        if found is None:
            raise KubeClusterError(
                f"{self.name}: the API server {self.api.url} has no Node object "
                f"{self.registered_name}"
            )
        return found

    @property
    def registered_name(self) -> str:
        """The name that the kubelet registers its node with.

        Existing machines may have other names in the inventory: where none is stated, it is the one
        that their kubelet was seen to use.
        """
        kubelet = self.spec.kubelet
        return kubelet.hostname or (not kubelet.bundled and self._seen_name) or self.name

    def look_through_api(self) -> ApiView:
        """Look at the node through the API server. Raises KubeClusterError."""
        __tracebackhide__ = True
        assert self.api is not None
        return look_through(self.api, self.registered_name, self.address)

    def ask(
        self, command: str, request: Mapping[str, Any], timeout: float = _COMMAND_SECONDS
    ) -> Any:
        """Run a subcommand of the agent on the node as root and return its result.

        Raises KubeClusterError with the node's error output if it fails.
        """
        __tracebackhide__ = True
        self._check_usable()
        request = {"do": command, "unit": self.spec.kubelet.unit, **request}
        if command != "wait":
            request["timeout_factor"] = self.access.timeout_factor
        argv = transport.command(self.access.python, request)
        done = self._run(*argv, timeout=timeout, stdin=transport.archive())
        if command != "look":
            self.forget()
        return transport.result(self.name, done.stdout, done.stderr, done.returncode)

    def run(
        self, *command: str, timeout: float = _COMMAND_SECONDS, stdin: str | bytes = b""
    ) -> CommandResult:
        """Run a command, word by word, on the node as root and return testinfra's result of it.

        That has ``rc``, ``stdout`` and ``stderr`` as text; ``host.run`` takes a command line for a
        shell instead. Raises KubeClusterError if the node cannot be reached.
        """
        __tracebackhide__ = True
        from pytest_kubecluster.nodes.testinfra_host import command_result

        given = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = self._run(*command, timeout=timeout, stdin=given)
        finally:
            self.forget()
        return command_result(self.host, command, done)

    def _run(
        self, *command: str, timeout: float = _COMMAND_SECONDS, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        __tracebackhide__ = True
        self._check_usable()
        return self._ssh.run(
            self.name,
            [*self.access.sudo, *command],
            timeout=timeout * self.access.timeout_factor,
            stdin=self.access.as_root(stdin),
        )

    def reboot(self, timeout: float = _BOOT_SECONDS) -> None:
        """Reboot the node and wait until it can be reached again, for ``timeout`` seconds.

        As all times, they are those of a container node; an emulated machine gets more.
        """
        deadline = time.monotonic() + timeout * self.access.timeout_factor
        if self.access.reboot:
            self._ssh.disconnect(self.name)
            done = capture(self.access.reboot, timeout=timeout * self.access.timeout_factor)
            if done.status != 0:
                raise KubeClusterError(f"{self.name} did not reboot: {done.stderr.strip()}")
            self._ssh.connect(self.name, deadline)
        else:
            self._reboot_itself(deadline)
        self.forget()

    def wait_until_healthy(self, timeout: float, *, restarts: int | None = 1) -> None:
        """Wait until the kubelet reports that it is healthy.

        A kubelet that was killed is started again by systemd; it may die ``restarts`` times
        meanwhile, or any number of times with None. Raises KubeClusterError with the kubelet's
        last log lines if it died more often or systemd does not start it again, and after
        ``timeout`` seconds.
        """
        kubelet = self.spec.kubelet
        seconds = timeout * self.access.timeout_factor
        seen = self.ask(
            "wait",
            {"seconds": seconds, "restarts": restarts},
            timeout=timeout + _COMMAND_SECONDS,
        )
        if seen["healthy"]:
            return
        words = "\n".join(f"    {line}" for line in seen["journal"]) or "    (none)"
        raise KubeClusterError(
            f"{self.name}: the kubelet {seen['reason']}\n"
            f"  its last log lines (journalctl -u {kubelet.unit}):\n{words}"
        )

    def _reboot_itself(self, deadline: float) -> None:
        started = self._started()
        with suppress(KubeClusterError):  # it may be gone before it answers
            self._run("systemctl", "reboot")
        self._ssh.disconnect(self.name)
        reason = ""

        def is_back() -> bool:
            nonlocal reason
            try:
                self._ssh.connect_now(self.name)
                if self._started() != started:
                    return True
                reason = "it did not go down"
                self._ssh.disconnect(self.name)
            except KubeClusterError as error:
                reason = str(error)
            return False

        if not poll(is_back, deadline - time.monotonic(), every=_POLL_SECONDS):
            raise KubeClusterError(
                f"{self.name} did not come back from its reboot in time: {reason}"
            )

    def _started(self) -> bytes:
        """Return what only a reboot changes."""
        asked = ["--property=UserspaceTimestamp", "--property=UserspaceTimestampMonotonic"]
        return self._run("systemctl", "show", *asked).stdout

    def _check_usable(self) -> None:
        __tracebackhide__ = True
        if self.access.problem:
            raise KubeClusterError(self.access.problem)
        if not self.access.ssh_config:
            raise KubeClusterError(
                f"{self.name}: only ssh can see this, and the run has --kube-kubeconfig alone; "
                "give --kube-inventory, too"
            )

    @property
    def _ssh(self) -> Ssh:
        return Ssh(Path(self.access.ssh_config))


def look_request(spec: NodeSpec, stated: Statements) -> Mapping[str, Any]:
    """Return the agent's request for a node: what to look at besides what it discovers."""
    kubelet = spec.kubelet
    files = {one.path: one.content is None for one in stated.files}
    expected: dict[str, str] = {}
    ports: dict[str, int] = {}
    if stated.complete:
        files |= dict.fromkeys(bundled_folders(kubelet), True)
        expected = {name: text for name, text in kubelet.settings.items() if "/" in text}
        if kubelet.config:
            expected["config"] = kubelet.config_path
        ports = {"healthz": HEALTHZ, "kubelet": KUBELET}
    for name, flag in (("healthz", "healthz-port"), ("kubelet", "port")):
        with suppress(SettingError):
            setting = stated.settings.get(canonical_name(kubelet.version, flag))
            if setting and isinstance(setting.value, int):
                ports[name] = setting.value
    return {"files": files, "expected": expected, "asked_ports": ports}


def connect(cluster: ClusterSpec, access: Mapping[str, Access]) -> tuple[Node, ...]:
    """Return the handles of nodes that are up."""
    return tuple(Node.of(cluster, spec.name, access[spec.name]) for spec in cluster)
