"""The machines of a cluster: booted by Vagrant, found again and removed by their label."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import vagrant

from pytest_kubecluster.commands import CommandError, Commands
from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.files import write_atomically
from pytest_kubecluster.resources import provisioning
from pytest_kubecluster.spec import ClusterSpec
from pytest_kubecluster.ssh import USER
from pytest_kubecluster.ssh_key import SshKey

_LABEL = "kubecluster"
_REMOVE_SECONDS = 60.0
_STOP_SECONDS = 10
_ATTEMPTS = 5
_VANISHED = re.compile(r"No such (container|network)|network \S+ not found")
"""What Docker says of something that was there a moment ago."""

_CREATE_ARGS = (
    # systemd and Docker need much, but not --privileged: it gives every device of the host too, and
    # fails on hosts whose own capabilities are bounded.
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device-cgroup-rule", "a *:* rwm"),
    "--cgroupns=private",
    *("--tmpfs", "/run", "--tmpfs", "/tmp"),
    # What systemd takes as the order to shut down in a container.
    *("--stop-signal", "SIGRTMIN+3"),
)


@dataclass(frozen=True)
class Mount:
    """A file of this host that a container node sees, read-only."""

    source: Path
    target: str


class VagrantMachines:
    """Container nodes, booted from the bundled Vagrantfile.

    Vagrant is called once, to boot. Everything after is asked of Docker itself, by the cluster's
    label: that takes a tenth of the time, and it finds what a killed Vagrant left behind.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Know the machines labelled ``name``, with Vagrant's state below ``folder``."""
        self.name = name
        self._folder = folder

    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        image: str,
        key: SshKey,
        mounts: Sequence[Mount],
        volumes: Sequence[str],
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a machine for every node of ``spec`` and wait until Vagrant calls them ready.

        ``volumes`` are paths that get an anonymous volume each. Raises CommandError if Vagrant
        fails or ``timeout`` seconds pass.
        """
        binds = [f"{mount.source}:{mount.target}:ro" for mount in mounts]
        plan = {
            "user": USER,
            "private_key": str(key.path),
            "boot_timeout": int(timeout),
            "image": image,
            "label": f"{_LABEL}={self.name}",
            "prefix": spec.network.prefixlen,
            "env": {"AUTHORIZED_KEY": key.public},
            "machines": [
                {
                    "name": node.name,
                    "container": self.container(node.name),
                    "address": str(node.address),
                    "create_args": [*_CREATE_ARGS, "--label", f"{_LABEL}={self.name}"],
                    "volumes": [*binds, *volumes],
                }
                for node in spec
            ],
        }
        path = self._folder / "machines.json"
        write_atomically(path, json.dumps(plan, indent=1).encode(), 0o600)
        runner = _Vagrant(commands, timeout, on_line)
        runner.env = {**os.environ, **self._environment(path)}
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                runner.up(provider="docker")
                return
            except CommandError as error:
                # Vagrant looks at every container and network of the host, and gives up where
                # another run removes one meanwhile.
                vanished = _VANISHED.search(error.log.read_text(errors="replace"))
                if not vanished or not attempts_left or commands.stopped:
                    raise

    def create_network(self, network: IPv4Network) -> None:
        """Make the machines' network, which Docker gives to one cluster only, whoever asks.

        Raises NetworkTakenError if somebody else has it by now.
        """
        options = ["--subnet", str(network), "--label", f"{_LABEL}={self.name}"]
        try:
            _docker("network", "create", *options, f"kubecluster-{self.name}")
        except KubeClusterError as error:
            raise NetworkTakenError(
                f"the network {network} cannot be had: {error}\n"
                "  choose another with --kube-network"
            ) from None

    def container(self, node: str) -> str:
        """Return the name of a node's container."""
        return f"{self.name}-{node}"

    def running(self, spec: ClusterSpec) -> bool:
        """Say whether every machine of ``spec`` runs."""
        return {self.container(node.name) for node in spec} <= set(self.running_containers())

    def running_containers(self) -> list[str]:
        """Return the names of the cluster's containers that run."""
        label = f"label={_LABEL}={self.name}"
        return _docker("container", "ls", "--filter", label, "--format", "{{.Names}}")

    def console(self, node: str) -> list[str]:
        """Return the last lines on a node's console."""
        argv = ["docker", "logs", "--tail=12", self.container(node)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        return (done.stdout + done.stderr).splitlines()

    def reboot_command(self, node: str) -> list[str]:
        """Return the command that reboots a node's machine, from this host."""
        return ["docker", "restart", f"--time={_STOP_SECONDS}", self.container(node)]

    def destroy(self) -> None:
        """Remove every container, volume and network that carries the cluster's label.

        Raises KubeClusterError naming what is left when Docker does not remove it in time.
        """
        deadline = time.monotonic() + _REMOVE_SECONDS
        while left := self._left():
            for kind, names in left.items():
                remove = ["rm", "--force", "--volumes"] if kind == "container" else ["rm"]
                _docker(kind, *remove, *names, check=False)
            if time.monotonic() > deadline:
                shown = ", ".join(
                    f"{kind} {name}" for kind, names in left.items() for name in names
                )
                raise KubeClusterError(
                    f"cluster {self.name}: Docker did not remove {shown}\n"
                    f"  find it with: docker ps -a --filter label={_LABEL}={self.name}"
                )

    def _left(self) -> Mapping[str, list[str]]:
        """What of the cluster is still there; networks only once no container uses them."""
        label = f"label={_LABEL}={self.name}"
        containers = _docker("container", "ls", "--all", "--quiet", "--filter", label)
        if containers:
            return {"container": containers}
        networks = _docker("network", "ls", "--quiet", "--filter", label)
        return {"network": networks} if networks else {}

    def _environment(self, plan: Path) -> dict[str, str]:
        return {
            "KUBECLUSTER_MACHINES": str(plan),
            "VAGRANT_CWD": str(provisioning()),
            # All that Vagrant remembers of these machines goes when their folder goes.
            "VAGRANT_DOTFILE_PATH": str(self._folder / "machines"),
            "VAGRANT_HOME": str(self._folder / "home"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_NO_COLOR": "1",
        }


class _Vagrant(vagrant.Vagrant):  # type: ignore[misc]
    """python-vagrant whose commands have a deadline and a log, and can be ended."""

    def __init__(self, commands: Commands, timeout: float, on_line: Callable[[str], None]) -> None:
        super().__init__(root=str(provisioning()))
        self._commands = commands
        self._timeout = timeout
        self._on_line = on_line

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        argv = self._make_vagrant_command(args)
        self._commands.run(
            "vagrant", argv, timeout=self._timeout, env=self.env, on_line=self._on_line
        )


def _docker(*words: str, check: bool = True) -> list[str]:
    """Run Docker's client and return the words it prints.

    With ``check``, raises KubeClusterError if it fails: no answer does not mean that nothing is
    left.
    """
    done = subprocess.run(
        ["docker", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_REMOVE_SECONDS,
        check=False,
        start_new_session=True,  # Ctrl-C must not stop a removal
    )
    if check and done.returncode != 0:
        raise KubeClusterError(f"docker {words[0]} {words[1]} failed: {done.stderr.strip()}")
    return done.stdout.split()
