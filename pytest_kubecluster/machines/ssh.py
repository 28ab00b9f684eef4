"""One shared ssh connection to each machine, used by Ansible, testinfra and the plugin."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.process import capture, last_lines

SshOptions = Mapping[str, str]
"""How ssh(1) reaches a machine: keywords of ssh_config(5) and their values, quoted as needed.

``Include`` names the one file that replaces the user's own configuration, as ``ssh -F`` does.
"""

USER = "core"
_ATTEMPT_SECONDS = 5
_EXISTING_ATTEMPT_SECONDS = 15
_SETTINGS_SECONDS = 30
_NOT_ACCEPTED = "Host key verification failed"
_ACCEPT = """
  log in once with ssh and accept the host key, or let keys of new machines be accepted with
  ansible_ssh_common_args: -o StrictHostKeyChecking=accept-new"""
_CHANGED = re.compile(r"Host key for (\S+) has changed")
_FORGET = """
  this may be another machine; if the machine was reinstalled, remove its old key with
  ssh-keygen -R {}"""
_CLOSED_BY_PROXY = re.compile(r"(kex_exchange_identification: )?Connection closed by .*")
"""All that ssh itself reports when its jump host or proxy command fails."""
_DEFAULTS = f"""\
Match final
  ConnectTimeout {_ATTEMPT_SECONDS}
  ServerAliveInterval 5
  ServerAliveCountMax 3
"""
_BEGIN, _END = "--- kubecluster begin ---", "--- kubecluster end ---"
# One line, because csh accepts no line break within quotes.
_BETWEEN_MARKS = (
    "PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin; export PATH;"
    f' echo "{_BEGIN}"; echo "{_BEGIN}" >&2; "$@"; status=$?; echo "{_END}"; exit $status'
)


@dataclass(frozen=True)
class Ssh:
    """Reaches machines with the client configuration in the file ``config``."""

    config: Path

    def run(
        self, node: str, command: Sequence[str], *, timeout: float, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``command`` on ``node`` and return its output, whatever its exit status.

        The output is that of the command alone, without what a shell's startup files print, and the
        command's PATH includes the usual folders of system programs. Raises KubeClusterError if the
        node cannot be reached or the command takes longer than ``timeout`` seconds.
        """
        argv = ["ssh", "-F", str(self.config), node, between_marks(command)]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise KubeClusterError(
                f"{node}: {shlex.join(command[:3])} … did not end within {timeout:.0f} s"
            ) from None
        if done.returncode == 255:  # ssh(1): "255 if an error occurred"
            reason = _after_begin(done.stderr).decode(errors="replace").strip()
            reason = reason or "the connection was lost"
            raise KubeClusterError(f"{node} cannot be reached over ssh: {reason}")
        done.stdout, done.stderr = output_between_marks(done.stdout, done.stderr)
        return done

    def connect(
        self, node: str, deadline: float, hopeless: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until ``node`` allows a login, and open the connection that everything shares.

        ``deadline`` is a time.monotonic() value. Raises KubeClusterError when it passes, or as soon
        as ``hopeless()`` returns true.
        """
        place = self._place(node)
        reason = "no attempt was made"

        def over() -> bool:
            nonlocal reason
            if hopeless():
                return True
            if place and not _greets(*place):
                reason = f"no ssh server answers on {place[0]}:{place[1]}"
            else:
                reason = self._log_in(node, _ATTEMPT_SECONDS)
            return not reason

        poll(over, deadline - time.monotonic())
        if reason:
            raise KubeClusterError(f"{node}: no login over ssh before the deadline: {reason}")

    def connect_now(self, node: str) -> None:
        """Open the connection to a node that is up. Raises KubeClusterError if the login fails.

        One attempt only: a wrong key stays wrong.
        """
        if reason := self._log_in(node, _EXISTING_ATTEMPT_SECONDS):
            way_out = _ACCEPT if _NOT_ACCEPTED in reason else ""
            if changed := _CHANGED.search(reason):
                way_out = _FORGET.format(changed[1])
            raise KubeClusterError(f"{node} cannot be reached over ssh: {reason}{way_out}")

    def disconnect(self, node: str) -> None:
        """Close the shared connection to ``node``, if there is one."""
        argv = ["ssh", "-F", str(self.config), "-O", "exit", node]
        _status(argv, _ATTEMPT_SECONDS, Path("/dev/null"))

    def hostname(self, node: str) -> str:
        """Return the host name or address that ssh connects to for ``node``."""
        return self._settings(node)["hostname"]

    def user(self, node: str) -> str:
        """Return the user that logs in to ``node``."""
        return self._settings(node)["user"]

    def _log_in(self, node: str, seconds: int) -> str:
        """Try to open the shared connection, and return why that failed or an empty string."""
        # -f puts ssh into the background once the login has succeeded. Its messages go to a file,
        # because in the background it would keep a pipe open.
        log = self.config.with_name(f"{node}.log")
        log.unlink(missing_ok=True)
        options = ["-o", "ControlMaster=yes", "-o", f"ConnectTimeout={seconds}"]
        done = _status(["ssh", "-F", str(self.config), *options, "-fNT", node], seconds, log)
        if done == 0:
            return ""
        lines = last_lines(log, 2)
        if lines and all(map(_CLOSED_BY_PROXY.fullmatch, lines)):
            lines = self._error_of_proxy(node, seconds, log) or lines
        return " ".join(lines) or (
            "the login was refused" if done else f"the login took longer than {3 * seconds} s"
        )

    def _error_of_proxy(self, node: str, seconds: int, log: Path) -> list[str]:
        """Return what a jump host or proxy command prints, which ssh drops with ControlPersist."""
        options = ["-o", "ControlPath=none", "-o", f"ConnectTimeout={seconds}"]
        _status(["ssh", "-F", str(self.config), *options, "-T", node, "true"], seconds, log)
        lines = [line for line in last_lines(log) if not _CLOSED_BY_PROXY.fullmatch(line)][-2:]
        jump = self._settings(node).get("proxyjump", "")
        if lines and jump and jump.rpartition("@")[2].strip("[]") not in " ".join(lines):
            lines.insert(0, f"jump host {jump}:")
        return lines

    def _place(self, node: str) -> tuple[str, int] | None:
        """Return the host and port of the node's ssh server, if it can be reached directly."""
        settings = self._settings(node)
        if {"proxyjump", "proxycommand"} & settings.keys():
            return None
        return settings["hostname"], int(settings["port"])

    def _settings(self, node: str) -> dict[str, str]:
        """Return what ssh would use to reach ``node``, by keyword in lower case.

        Raises KubeClusterError if ssh cannot read its configuration.
        """
        shown = capture(["ssh", "-F", str(self.config), "-G", node], timeout=_SETTINGS_SECONDS)
        if shown.status != 0:
            raise KubeClusterError(f"{node} cannot be reached over ssh: {shown.stderr.strip()}")
        return dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)


def write_ssh_config(
    config: Path, hosts: Mapping[str, SshOptions], *, sockets: Path, include: Sequence[Path] = ()
) -> Ssh:
    """Write an ssh_config(5) file for nodes and return the connections it describes.

    ``hosts`` has the options of each node. What they leave open is read from the files ``include``,
    or from the one that a host has as its option ``Include``. ``sockets`` must be a short path: the
    address of a Unix socket has room for 104 characters.
    """
    stanzas = []
    for name, options in hosts.items():
        lines = [f"  {key} {value}" for key, value in options.items() if key != "Include"]
        stanzas.append("\n".join([f'Host "{name}"', *lines, ""]))
    common = f"""\
Host *
  BatchMode yes
  ControlMaster auto
  ControlPath {sockets}/%C
  ControlPersist 60
  LogLevel ERROR
"""
    # The first value of a keyword counts (ssh_config(5)).
    config.write_text("\n".join([*stanzas, common, *_includes(hosts, include), _DEFAULTS]))
    return Ssh(config)


def _includes(hosts: Mapping[str, SshOptions], include: Iterable[Path]) -> Iterable[str]:
    """Yield the parts of a configuration that include the user's own files.

    Jump hosts are in no inventory: all files are theirs, each for what those before it leave open.
    """
    usual = tuple(str(path) for path in include if path.exists())
    files: dict[tuple[str, ...], list[str]] = {usual: []}
    for name, options in hosts.items():
        own = options.get("Include")
        files.setdefault((own,) if own is not None else usual, []).append(name)
    for paths, names in files.items():
        lines = [f'  Include "{path}"' for path in paths if path]
        if not lines or not (names or len(files) == 1):
            continue
        # Where HostName is set, the user's configuration applies to that address, as it does for a
        # plain `ssh ADDRESS`: hence the second pass, which ssh makes with the final host name.
        others = [name for name in hosts if name not in names]
        placed = [name for name in names if "HostName" in hosts[name]]
        yield "\n".join([f"Match originalhost {_all_but([*others, *placed])}", *lines, ""])
        yield "\n".join([f"Match final originalhost {_all_but(others)}", *lines, ""])


def _all_but(names: Iterable[str]) -> str:
    """Return a pattern of ssh_config(5) for every host except these."""
    return ",".join(["*", *(f"!{name}" for name in names)])


def booted_ssh_options(spec: ClusterSpec, key: Path) -> dict[str, SshOptions]:
    """Return how booted machines are reached: by address, with the ``key`` of their cluster."""
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


def between_marks(command: Sequence[str]) -> str:
    """Return a command line for a login shell that marks where the output of ``command`` is."""
    return shlex.join(["/bin/sh", "-c", _BETWEEN_MARKS, "sh", *command])


def output_between_marks(stdout: bytes, stderr: bytes) -> tuple[bytes, bytes]:
    """Return the output without what the login shell itself printed."""
    return _before_end(_after_begin(stdout)), _after_begin(stderr)


def _after_begin(output: bytes) -> bytes:
    """Return what was printed after the command began; everything if it never did."""
    before, mark, after = output.partition(f"{_BEGIN}\n".encode())
    return after if mark else before


def _before_end(output: bytes) -> bytes:
    before, mark, after = output.rpartition(f"{_END}\n".encode())
    return before if mark else after


def _greets(host: str, port: int) -> bool:
    """Whether an ssh server identifies itself there (RFC 4253, section 4.2)."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _status(argv: Sequence[str], seconds: int, log: Path) -> int | None:
    """Run a command and return its exit status; None if it took three times ``seconds``."""
    with log.open("ab") as errors:
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=3 * seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None
