"""The testinfra Host of a node, as root, over the connection that the cluster shares."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.ssh import between_marks, output_between_marks


def root_host(name: str, access: Access, on_command: Callable[[], None]) -> Host:
    """Return a plain testinfra Host for the node ``name``, whose commands run as root.

    ``on_command`` is called after each of them.
    """
    backend = _RootBackend(name, access, on_command)
    host = Host(backend)
    backend.set_host(host)
    return host


def command_result(
    host: Host, command: Sequence[str], done: subprocess.CompletedProcess[bytes]
) -> CommandResult:
    """Return testinfra's result of a command that has ended."""
    line = shlex.join(command).encode()
    return host.backend.result(done.returncode, line, done.stdout, done.stderr)


class _RootBackend(SshBackend):  # type: ignore[misc]
    """testinfra's ssh, as root, with sudo if necessary; a password goes through standard input."""

    def __init__(self, name: str, access: Access, on_command: Callable[[], None]) -> None:
        super().__init__(name, ssh_config=access.ssh_config, sudo=not access.is_root)
        self._access, self._on_command = access, on_command

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command and return its output, without what a login shell prints."""
        line = self.get_command(command, *args)
        try:
            done = self.run_ssh(between_marks(["/bin/sh", "-c", line]))
        finally:
            self._on_command()
        done.command = self.encode(line)
        return done

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
        outputs = output_between_marks(done.stdout, done.stderr)
        return self.result(done.returncode, line, *outputs)
