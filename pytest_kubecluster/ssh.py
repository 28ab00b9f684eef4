"""One multiplexed ssh connection to each node, shared by Ansible, testinfra and the plugin."""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.commands import last_lines
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec import NodeSpec

USER = "core"
_ATTEMPT_SECONDS = 5
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Ssh:
    """How the nodes are reached: a client configuration, and the sockets of its connections."""

    config: Path

    def run(
        self, node: str, command: Sequence[str], *, timeout: float, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``command`` on ``node`` and return what came of it, whatever its exit status.

        Raises KubeClusterError if the node does not answer or ``timeout`` seconds pass.
        """
        argv = ["ssh", "-F", str(self.config), node, shlex.join(command)]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise KubeClusterError(
                f"{node}: {shlex.join(command[:3])} … did not end within {timeout:.0f} s"
            ) from None
        if done.returncode == 255:  # ssh(1): "255 if an error occurred"
            reason = done.stderr.decode(errors="replace").strip() or "the connection was lost"
            raise KubeClusterError(f"{node} cannot be reached over ssh: {reason}")
        return done

    def connect(
        self, node: NodeSpec, deadline: float, hopeless: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until ``node`` lets us log in, and open the connection all others will share.

        ``deadline`` is a time.monotonic() value. Raises KubeClusterError when it passes, or as soon
        as ``hopeless`` says that waiting is.
        """
        reason = "no attempt was made"
        while time.monotonic() < deadline and not hopeless():
            if not _greets(str(node.address)):
                reason = f"no ssh server answers on {node.address}:22"
                time.sleep(_POLL_SECONDS)
                continue
            # -f puts it into the background once the login succeeded. What it has to say goes to a
            # log, since older clients keep a pipe open for as long as they live.
            log = self.config.with_name(f"{node.name}.log")
            options = ["-o", "ControlMaster=yes", "-E", str(log), "-fNT"]
            done = _silently(["ssh", "-F", str(self.config), *options, node.name])
            if done.returncode == 0:
                return
            reason = " ".join(last_lines(log, 2)) or "the login was refused"
            time.sleep(_POLL_SECONDS)
        raise KubeClusterError(
            f"{node.name} did not let us log in over ssh before the deadline: {reason}"
        )

    def disconnect(self, node: str) -> None:
        """Close the shared connection to ``node``, if there is one."""
        _silently(["ssh", "-F", str(self.config), "-O", "exit", node])


def write_ssh_config(
    config: Path, nodes: Sequence[NodeSpec], *, key: Path, known_hosts: Path, sockets: Path
) -> Ssh:
    """Write an ssh_config(5) file for ``nodes`` and return the connections it describes.

    ``sockets`` must be a short path: the address of a Unix socket has room for 104 characters.
    """
    common = f"""\
Host *
  User {USER}
  IdentityFile "{key}"
  IdentitiesOnly yes
  BatchMode yes
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking accept-new
  ConnectTimeout {_ATTEMPT_SECONDS}
  ServerAliveInterval 5
  ServerAliveCountMax 3
  ControlMaster auto
  ControlPath {sockets}/%n
  ControlPersist 60
  LogLevel ERROR
"""
    hosts = "".join(f"Host {node.name}\n  HostName {node.address}\n" for node in nodes)
    config.write_text(hosts + common)
    return Ssh(config)


def _greets(address: str) -> bool:
    """Whether an ssh server says hello there, without logging in (RFC 4253, section 4.2)."""
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _silently(argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=3 * _ATTEMPT_SECONDS,
        check=False,
    )
