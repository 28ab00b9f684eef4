"""Runs the Vagrant executable and decodes what it prints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vagrant

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.packages import way_to_install
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.process import Captured, CommandError, Commands, capture
from pytest_kubecluster.util.resources import provisioning

RUNNING: str = vagrant.Vagrant.RUNNING
NOT_CREATED: str = vagrant.Vagrant.NOT_CREATED

VANISHED = re.compile(r"No such (container|network|object)|network \S+ not found")
"""What Docker prints about something that existed a moment ago."""

_ATTEMPTS = 10
_ERASE_LINE = "\x1b[K"
_MACHINE_READABLE = re.compile(r"\d+,([^,]*),([a-z-]+),(.*)")
_ESCAPES = (("%!(VAGRANT_COMMA)", ","), ("\\n", "\n"), ("\\r", "\r"))
"""What Vagrant::UI::MachineReadable replaces in its fields (lib/vagrant/ui.rb)."""
_NO_PROVIDER = re.compile(r"Vagrant::Errors::(NoDefaultProvider|ProviderNot(Found|Usable))")


@dataclass(frozen=True)
class Report:
    """A line of Vagrant's machine-readable output, decoded."""

    machine: str
    """The machine it is about; empty if it is about all of them."""
    kind: str
    values: tuple[str, ...]


class Vagrant:
    """Runs Vagrant in one folder, with a deadline and a log."""

    def __init__(
        self,
        folder: Path,
        commands: Commands | None,
        *,
        env: Mapping[str, str],
        timeout: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Run Vagrant in ``folder``, for at most ``timeout`` seconds per command.

        Without ``commands``, only the methods that return something work.
        """
        self.folder = folder
        self.env = dict(env)
        self._commands = commands
        self._timeout = timeout
        # An upload reports its progress a thousand times in one line.
        self._on_line = lambda line: on_line(line.rpartition(_ERASE_LINE)[2])

    def boot(self, *words: str) -> None:
        """Boot machines as ``vagrant up`` with these arguments does. Raises CommandError."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self.run("up", *words)
                return
            except CommandError as error:
                # Vagrant's Docker provider inspects every container and network of the host, and
                # gives up when another run removes one in the meantime.
                vanished = VANISHED.search(error.log.read_text(errors="replace"))
                if not vanished or not attempts_left or self._stopped:
                    raise

    @property
    def _stopped(self) -> bool:
        return self._commands is not None and self._commands.stopped

    def run(self, *words: str) -> None:
        """Run a command for its effect. Raises CommandError."""
        assert self._commands is not None
        self._commands.run(
            "vagrant",
            [_executable(), *words],
            cwd=self.folder,
            timeout=self._timeout,
            env=self.env,
            on_line=self._on_line,
        )

    def status(self) -> list[vagrant.Status]:
        """Return the name, state and provider of every machine. Raises KubeClusterError."""
        found: dict[str, dict[str, str]] = {}
        for report in self._reports("status"):
            if report.machine and report.kind in ("state", "provider-name"):
                found.setdefault(report.machine, {})[report.kind] = report.values[0]
        return [
            vagrant.Status(name, about["state"], about.get("provider-name"))
            for name, about in found.items()
            if "state" in about
        ]

    def ssh_config(self, *machines: str) -> str:
        """Return the OpenSSH configuration of running machines. Raises KubeClusterError."""
        reports = self._reports("ssh-config", *machines)
        return "\n".join(report.values[0] for report in reports if report.kind == "ssh-config")

    def output(self, *words: str) -> str:
        """Return what a command prints. Raises KubeClusterError with its complaint."""
        return self._capture(*words).stdout

    def _reports(self, command: str, *words: str) -> list[Report]:
        return [*decoded(self._capture(command, "--machine-readable", *words).stdout)]

    def _capture(self, *words: str) -> Captured:
        done = capture(
            [_executable(), *words], timeout=self._timeout, env=self.env, cwd=self.folder
        )
        if done.status != 0:
            raise KubeClusterError(self._complaint(words[0], done))
        return done

    def _complaint(self, command: str, done: Captured) -> str:
        file = self.folder / self.env.get("VAGRANT_VAGRANTFILE", "Vagrantfile")
        error, text = _error(done)
        shown = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
        if not _NO_PROVIDER.fullmatch(error):
            return f"{file}: vagrant {command} failed:\n{shown}"
        return (
            f"{file}: Vagrant has no usable provider for these machines on this host\n"
            "  name one in the Vagrantfile (config.vm.provider :docker), set "
            "VAGRANT_DEFAULT_PROVIDER, or install one (apt-get install vagrant-libvirt)\n"
            f"  what Vagrant printed:\n{shown}"
        )


def decoded(output: str) -> Iterator[Report]:
    """Yield the machine-readable lines of Vagrant's ``output``, decoded.

    Skip what else is printed there: a Vagrantfile and plugins may print whatever they like.
    """
    for line in output.splitlines():
        if found := _MACHINE_READABLE.fullmatch(line):
            machine, kind, values = found.groups()
            yield Report(machine, kind, tuple(_unescaped(value) for value in values.split(",")))


def _unescaped(value: str) -> str:
    for escape, character in _ESCAPES:
        value = value.replace(escape, character)
    return value


def _error(done: Captured) -> tuple[str, str]:
    """Return the class of the error that ended a command, if Vagrant names it, and its text."""
    for report in decoded(done.stdout):
        if report.kind == "error-exit":
            return report.values[0], "\n".join(report.values[1:])
    # What goes wrong before Vagrant has read its arguments is printed as plain text.
    return "", done.stderr or done.stdout


def _executable() -> str:
    if found := vagrant.get_vagrant_executable():
        return str(found)
    raise KubeClusterError(f"vagrant is not on the PATH; {way_to_install('vagrant')}")


def vagrant_for_plan(
    plan: Mapping[str, Any],
    folder: Path,
    commands: Commands,
    timeout: float,
    on_line: Callable[[str], None],
) -> Vagrant:
    """Return a Vagrant that runs the bundled Vagrantfile for what ``plan`` describes.

    Everything that it remembers about the machines is in ``folder`` and is removed with it.
    """
    path = private_folder(folder) / "machines.json"
    write_atomically(path, json.dumps(plan, indent=1).encode(), 0o600)
    environment = {
        "KUBECLUSTER_MACHINES": str(path),
        "VAGRANT_CWD": str(provisioning()),
        "VAGRANT_DOTFILE_PATH": str(folder / "machines"),
        "VAGRANT_HOME": str(folder / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_NO_COLOR": "1",
    }
    return Vagrant(
        provisioning(),
        commands,
        env={**os.environ, **environment},
        timeout=timeout,
        on_line=on_line,
    )


def vagrant_home() -> Path:
    """Return the folder in which Vagrant keeps what this user installed into it."""
    return Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
