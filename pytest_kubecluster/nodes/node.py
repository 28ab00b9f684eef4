"""A node's handle: how to reach it, what it must be, and what its kubelet is seen to be."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.nodes.observation import KubeletView
from pytest_kubecluster.spec.model import NodeSpec, Role
from pytest_kubecluster.util.resources import provisioning

_COMMAND_SECONDS = 60.0
_BOOT_SECONDS = 120.0
_POLL_SECONDS = 0.25


@dataclass(eq=False, repr=False)
class Node:
    """One node of the cluster.

    ``host`` is a plain testinfra Host (as root); ``spec`` what the node must be; ``kubelet`` what
    its kubelet is seen to be, read once and shared until ``refresh``.
    """

    spec: NodeSpec
    access: Access
    _view: KubeletView | None = None

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
    def address(self) -> IPv4Address:
        """The node's address in the cluster's network."""
        return self.spec.address

    @cached_property
    def host(self) -> Host:
        """A testinfra Host over the cluster's shared ssh connection, acting as root.

        Raises KubeClusterError if the node cannot be used.
        """
        self._check_usable()
        backend = _RootBackend(self.name, self.access)
        host = Host(backend)
        backend.set_host(host)
        return host

    @property
    def files(self) -> Mapping[str, Path]:
        """The rendered files of the node on this host, by their path on the node."""
        folder = Path(self.access.files)
        return {file.path: folder / file.name for file in self.spec.kubelet.files}

    @property
    def kubelet(self) -> KubeletView:
        """What the kubelet is seen to be, from one look that costs one ssh round trip."""
        __tracebackhide__ = True
        if self._view is None:
            self.refresh()
        assert self._view is not None
        return self._view

    def refresh(self) -> KubeletView:
        """Look at the kubelet again, for all who ask from now on. Raises KubeClusterError."""
        __tracebackhide__ = True
        self._view = self.look()
        return self._view

    def look(self) -> KubeletView:
        """Look at the kubelet and return what is seen, once. Raises KubeClusterError."""
        __tracebackhide__ = True
        kubelet = self.spec.kubelet
        asked = {
            "unit": kubelet.unit,
            "unit_path": kubelet.unit_path,
            "files": [file.path for file in kubelet.files],
            "secrets": [file.path for file in kubelet.files if file.secret],
            "kubeconfig": kubelet.kubeconfig,
            "lock_file": kubelet.lock_file,
            "node_ip": str(kubelet.node_ip),
            "patience": self.access.patience,
        }
        seen = self.script(provisioning() / "probe.py", asked)
        files = self.files.items()
        expected = {path: file.read_bytes() for path, file in files if file.exists()}
        return KubeletView(kubelet, seen, expected)

    def script(
        self, path: Path, asked: Mapping[str, Any], timeout: float = _COMMAND_SECONDS
    ) -> Any:
        """Run a Python file of ours on the node as root and return the JSON it prints.

        ``asked`` is its argument. Raises KubeClusterError with what it wrote if it fails.
        """
        __tracebackhide__ = True
        self._check_usable()
        command = [self.access.python, "-", json.dumps(asked)]
        done = self.run(*command, timeout=timeout, stdin=path.read_bytes())
        try:
            return json.loads(done.stdout)
        except ValueError:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise KubeClusterError(
                f"{self.name}: {path.name} failed (exit status {done.returncode}): {said[-800:]}"
            ) from None

    def run(
        self, *command: str, timeout: float = _COMMAND_SECONDS, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the node as root and return what came of it.

        Raises KubeClusterError if the node cannot be reached.
        """
        __tracebackhide__ = True
        self._check_usable()
        return self._ssh.run(
            self.name,
            [*self.access.sudo, *command],
            timeout=timeout * self.access.patience,
            stdin=self.access.as_root(stdin),
        )

    def reboot(self, timeout: float = _BOOT_SECONDS) -> None:
        """Reboot the node and wait until it can be reached again, for ``timeout`` seconds.

        As all times, they are those of a container node; an emulated machine gets more.
        """
        deadline = time.monotonic() + timeout * self.access.patience
        if self.access.reboot:
            self._ssh.disconnect(self.name)
            done = subprocess.run(
                self.access.reboot, capture_output=True, text=True, timeout=timeout, check=False
            )
            if done.returncode != 0:
                raise KubeClusterError(f"{self.name} did not reboot: {done.stderr.strip()}")
            self._ssh.connect(self.name, deadline)
        else:
            self._reboot_itself(deadline)
        self._view = None

    def wait_until_healthy(self, timeout: float, *, restarts: bool = False) -> None:
        """Wait until the kubelet says it is healthy.

        Raises KubeClusterError with the kubelet's last words once it has died, or ``timeout``
        seconds have passed; with ``restarts``, systemd may start it again meanwhile.
        """
        kubelet = self.spec.kubelet
        seconds = timeout * self.access.patience
        seen = self.script(
            provisioning() / "wait.py",
            {"unit": kubelet.unit, "seconds": seconds, "restarts": restarts},
            timeout=timeout + _COMMAND_SECONDS,
        )
        if seen["healthy"]:
            return
        words = "\n".join(f"    {line}" for line in seen["journal"]) or "    (none)"
        raise KubeClusterError(
            f"{self.name}: the kubelet {seen['reason']}\n"
            f"  its last words (journalctl -u {kubelet.unit}):\n{words}"
        )

    def _reboot_itself(self, deadline: float) -> None:
        started = self._started()
        with suppress(KubeClusterError):  # it may be gone before it answers
            self.run("systemctl", "reboot")
        self._ssh.disconnect(self.name)
        reason = ""
        while time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            try:
                self._ssh.connect_now(self.name)
                if self._started() != started:
                    return
                reason = "it did not go down"
                self._ssh.disconnect(self.name)
            except KubeClusterError as error:
                reason = str(error)
        raise KubeClusterError(f"{self.name} did not come back from its reboot in time: {reason}")

    def _started(self) -> bytes:
        """Return what only a reboot changes."""
        asked = ["--property=UserspaceTimestamp", "--property=UserspaceTimestampMonotonic"]
        return self.run("systemctl", "show", *asked).stdout

    def _check_usable(self) -> None:
        __tracebackhide__ = True
        if self.access.problem:
            raise KubeClusterError(self.access.problem)

    @property
    def _ssh(self) -> Ssh:
        return Ssh(Path(self.access.ssh_config))


class _RootBackend(SshBackend):  # type: ignore[misc]
    """testinfra's ssh, as root whatever that takes; a password goes through standard input."""

    def __init__(self, name: str, access: Access) -> None:
        super().__init__(name, ssh_config=access.ssh_config, sudo=not access.is_root)
        self._access = access

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        """Return a command that runs as root, or as another user."""
        words = self._access.sudo
        if sudo_user:
            words = [*words, "-u", sudo_user] if words else ["runuser", "-u", sudo_user, "--"]
        return shlex.join([*words, "/bin/sh", "-c", command])

    def run_local(self, command: str, *args: str) -> CommandResult:
        """Run ssh with what sudo wants to read."""
        line = self.encode(self.quote(command, *args))
        done = subprocess.run(
            line, shell=True, input=self._access.as_root(b""), capture_output=True, check=False
        )
        return self.result(done.returncode, line, done.stdout, done.stderr)


def connect(specs: Sequence[NodeSpec], access: Mapping[str, Access]) -> tuple[Node, ...]:
    """Return the handles of nodes that are up."""
    return tuple(Node(spec, access[spec.name]) for spec in specs)
