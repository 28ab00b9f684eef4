"""The machines of a cluster, of whatever kind: how they are reached, watched, rebooted, removed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar, Protocol

import vagrant

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.ssh import SshOptions, own_ssh_options
from pytest_kubecluster.machines.ssh_key import SshKey, ensure_ssh_key
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.process import CommandError, Commands
from pytest_kubecluster.util.resources import provisioning

_ATTEMPTS = 5
_ERASE_LINE = "\x1b[K"
VANISHED = re.compile(r"No such (container|network|object)|network \S+ not found")
"""What Docker says of something that was there a moment ago."""


class Machines(Protocol):
    """The machines of one cluster, as far as they are found again by its name."""

    def machine(self, node: str) -> str:
        """Return what a node's machine is called where it comes from."""

    def running(self) -> Sequence[str]:
        """Return the names of the nodes whose machines run."""

    def destroy(self) -> None:
        """Remove all that a run of ours made. Raises KubeClusterError naming what is left."""


class BundledMachines(Machines, ABC):
    """Machines that are ours: made for this cluster from the bundled Vagrantfile."""

    sees_this_host: ClassVar[bool]
    """Whether the nodes can be shown a folder of this host."""

    def __init__(self, folder: Path) -> None:
        """Know the machines of the cluster that has ``folder`` on this host."""
        self._folder = folder / "vagrant"
        self._ssh = folder / "ssh"

    @property
    @abstractmethod
    def patience(self) -> float:
        """How many times as long as with containers things may take."""

    @abstractmethod
    def made_of(self, *, real: bool) -> str:
        """Return what a machine is made from, as a name that changes when that does.

        ``real`` machines have all that a real kubelet needs.
        """

    @abstractmethod
    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Have what machines are made from at hand. Raises KubeClusterError."""

    def claim(self, network: IPv4Network) -> None:
        """Take the machines' network. Raises NetworkTakenError if somebody else has it by now."""

    def ssh_options(self, spec: ClusterSpec) -> Mapping[str, SshOptions]:
        """Return how each node is reached: by its address, with the cluster's own key."""
        return own_ssh_options(spec, self._key.path)

    def console(self, node: str) -> Sequence[str]:
        """Return the last lines on a node's console, as far as they can be had."""
        return ()

    def reboot_command(self, node: str) -> Sequence[str]:
        """Return this host's command that reboots a node; none where the node does it itself."""
        return ()

    @property
    def _key(self) -> SshKey:
        return ensure_ssh_key(self._ssh)

    @abstractmethod
    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a machine for every node of ``spec``, within ``timeout`` seconds.

        ``kubelets`` is a folder that nodes which see this host have as their installed real
        kubelets. Raises CommandError if Vagrant fails or takes longer.
        """


def run_vagrant(
    plan: Mapping[str, Any],
    folder: Path,
    commands: Commands,
    timeout: float,
    on_line: Callable[[str], None],
) -> Vagrant:
    """Return a Vagrant that runs the bundled Vagrantfile for what ``plan`` names.

    All that it remembers of the machines is in ``folder``, and goes when that goes.
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
    """Return the folder where Vagrant has what this user installed into it."""
    return Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")


class Vagrant(vagrant.Vagrant):  # type: ignore[misc]
    """python-vagrant whose commands have a deadline and a log, and can be ended."""

    def __init__(
        self,
        root: Path,
        commands: Commands | None,
        *,
        env: Mapping[str, str],
        timeout: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Run Vagrant in the folder ``root``, for ``timeout`` seconds a command.

        Without ``commands``, it can only be asked.
        """
        super().__init__(root=str(root))
        self.env = dict(env)
        self._commands = commands
        self._timeout = timeout
        # How far an upload is, is said a thousand times in one line.
        self._on_line = lambda line: on_line(line.rpartition(_ERASE_LINE)[2])

    def boot(self, *words: str) -> None:
        """Boot machines, as ``vagrant up`` with these words does. Raises CommandError."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self.run("up", *words)
                return
            except CommandError as error:
                # Its Docker provider looks at every container and network of the host, and gives
                # up where another run removes one meanwhile.
                vanished = VANISHED.search(error.log.read_text(errors="replace"))
                if not vanished or not attempts_left or self._stopped:
                    raise

    @property
    def _stopped(self) -> bool:
        return self._commands is not None and self._commands.stopped

    def run(self, *words: str) -> None:
        """Run a command for what it does. Raises CommandError."""
        self._call_vagrant_command(words)

    def output(self, *words: str) -> str:
        """Run a command for what it prints. Raises KubeClusterError with what it complains of."""
        return self._run_vagrant_command(words)

    def _make_vagrant_command(self, args: Sequence[str | None]) -> list[str]:
        try:
            return list(super()._make_vagrant_command(args))
        except RuntimeError:
            raise KubeClusterError(
                "vagrant is not on the PATH; install it with: apt-get install vagrant"
            ) from None

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        assert self._commands is not None
        self._commands.run(
            "vagrant",
            self._make_vagrant_command(args),
            cwd=Path(self.root),
            timeout=self._timeout,
            env=self.env,
            on_line=self._on_line,
        )

    def _run_vagrant_command(self, args: Sequence[str | None]) -> str:
        argv = self._make_vagrant_command(args)
        try:
            done = subprocess.run(
                argv,
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KubeClusterError(f"{' '.join(argv[:2])}: {error}") from None
        if done.returncode != 0:
            said = "\n".join(f"    {line}" for line in (done.stderr or done.stdout).splitlines())
            raise KubeClusterError(f"{' '.join(argv[:2])} failed in {self.root}:\n{said}")
        return done.stdout
