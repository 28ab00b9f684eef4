"""One multiplexed ssh connection to each node, shared by Ansible, testinfra and the plugin."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.process import last_lines

SshOptions = Mapping[str, str]
"""How ssh(1) reaches a machine: keywords of ssh_config(5) and their values, quoted as needed."""

USER = "core"
_ATTEMPT_SECONDS = 5
_OWN_ATTEMPT_SECONDS = 15
_POLL_SECONDS = 0.1
_NOT_ACCEPTED = "Host key verification failed"
_ACCEPT = """
  log in to it once with ssh, and accept its key; keys of new machines are accepted unseen with
  ansible_ssh_common_args: -o StrictHostKeyChecking=accept-new"""
_CHANGED = re.compile(r"Host key for (\S+) has changed")
_FORGET = """
  somebody else may be there; where it is the machine, made anew, forget its old key:
  ssh-keygen -R {}"""
_DEFAULTS = f"""\
Match final
  ConnectTimeout {_ATTEMPT_SECONDS}
  ServerAliveInterval 5
  ServerAliveCountMax 3
"""


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
        self, node: str, deadline: float, hopeless: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until ``node`` lets us log in, and open the connection all others will share.

        ``deadline`` is a time.monotonic() value. Raises KubeClusterError when it passes, or as soon
        as ``hopeless`` says that waiting is.
        """
        reason = "no attempt was made"
        place = self._place(node)
        while time.monotonic() < deadline and not hopeless():
            if place and not _greets(*place):
                reason = f"no ssh server answers on {place[0]}:{place[1]}"
                time.sleep(_POLL_SECONDS)
                continue
            reason = self._log_in(node, _ATTEMPT_SECONDS)
            if not reason:
                return
            time.sleep(_POLL_SECONDS)
        raise KubeClusterError(
            f"{node} did not let us log in over ssh before the deadline: {reason}"
        )

    def connect_now(self, node: str) -> None:
        """Open the connection to a node that is up. Raises KubeClusterError if it does not let us.

        One attempt: a wrong key does not get better.
        """
        if reason := self._log_in(node, _OWN_ATTEMPT_SECONDS):
            way_out = _ACCEPT if _NOT_ACCEPTED in reason else ""
            if changed := _CHANGED.search(reason):
                way_out = _FORGET.format(changed[1])
            raise KubeClusterError(f"{node} cannot be reached over ssh: {reason}{way_out}")

    def disconnect(self, node: str) -> None:
        """Close the shared connection to ``node``, if there is one."""
        _silently(["ssh", "-F", str(self.config), "-O", "exit", node], _ATTEMPT_SECONDS)

    def _log_in(self, node: str, seconds: int) -> str:
        """Try to open the shared connection and return why that did not work, or nothing."""
        # -f puts it into the background once the login succeeded. What it has to say goes to a
        # log, since older clients keep a pipe open for as long as they live.
        log = self.config.with_name(f"{node}.log")
        log.unlink(missing_ok=True)
        options = ["-o", "ControlMaster=yes", "-o", f"ConnectTimeout={seconds}", "-E", str(log)]
        done = _silently(["ssh", "-F", str(self.config), *options, "-fNT", node], seconds)
        if done == 0:
            return ""
        return " ".join(last_lines(log, 2)) or (
            "the login was refused" if done else f"it took longer than {3 * seconds} s"
        )

    def user(self, node: str) -> str:
        """Return who logs in to ``node``."""
        return self._settings(node)["user"]

    def _place(self, node: str) -> tuple[str, int] | None:
        """Where the node's ssh server is, if that can be knocked at from here."""
        said = self._settings(node)
        if {"proxyjump", "proxycommand"} & said.keys():
            return None
        return said["hostname"], int(said["port"])

    def _settings(self, node: str) -> dict[str, str]:
        """Return all that ssh would do to reach ``node``, by keywords in small letters."""
        argv = ["ssh", "-F", str(self.config), "-G", node]
        shown = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        return dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)


def write_ssh_config(
    config: Path, hosts: Mapping[str, SshOptions], *, sockets: Path, include: Sequence[Path] = ()
) -> Ssh:
    """Write an ssh_config(5) file for nodes and return the connections it describes.

    ``hosts`` says how each is reached, and the files ``include`` what that leaves open. ``sockets``
    must be a short path: the address of a Unix socket has room for 104 characters.
    """
    stanzas = [
        "\n".join([f'Host "{name}"', *(f"  {key} {value}" for key, value in options.items())])
        for name, options in hosts.items()
    ]
    # The first value of a keyword counts (ssh_config(5)).
    common = f"""\
Host *
  BatchMode yes
  ControlMaster auto
  ControlPath {sockets}/%C
  ControlPersist 60
  LogLevel ERROR
"""
    included = "".join(f'  Include "{path}"\n' for path in include if path.exists())
    # Where we say an address, that is what ssh would have been told without us: its configuration
    # is looked through for that, once the name has become the address.
    placed = [f'!"{name}"' for name, options in hosts.items() if "HostName" in options]
    if included:
        named = f"Host * {' '.join(placed)}\n{included}"
        included = f"{named}Match final\n{included}"
    config.write_text("\n".join([*stanzas, common, included, _DEFAULTS]))
    return Ssh(config)


def own_ssh_options(spec: ClusterSpec, key: Path) -> dict[str, SshOptions]:
    """Return how machines of ours are reached: by their address, with the cluster's own ``key``."""
    return {
        node.name: {
            "HostName": str(node.address),
            "User": USER,
            "IdentityFile": f'"{key}"',
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": f'"{key.with_name("known_hosts")}"',
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "accept-new",
        }
        for node in spec
    }


def _greets(host: str, port: int) -> bool:
    """Whether an ssh server says hello there, without logging in (RFC 4253, section 4.2)."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _silently(argv: Sequence[str], seconds: int) -> int | None:
    """Run a command and return its exit status; None if it took three times ``seconds``."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=3 * seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None
