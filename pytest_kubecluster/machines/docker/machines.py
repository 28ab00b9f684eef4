"""Container nodes: booted by Vagrant, found and removed by their label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import ClassVar, Literal

from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.box_source import BoxSource
from pytest_kubecluster.machines.docker.image import (
    ensure_image,
    image_id,
    image_name,
    image_requirement,
)
from pytest_kubecluster.machines.preflight import (
    Requirement,
    command_output,
    inotify_requirements,
    numbers,
)
from pytest_kubecluster.machines.recipe import variant_for
from pytest_kubecluster.machines.ssh import USER
from pytest_kubecluster.machines.vagrant import vagrant_for_plan
from pytest_kubecluster.spec.control_plane import PROGRAMS
from pytest_kubecluster.spec.launcher import INSTALLED
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.process import Commands, ask, capture

_LABEL = "kubecluster"
_OLDEST = (20, 10)
_MEGABYTES = 200
_HOLLOW_INOTIFY, _REAL_INOTIFY = 7, 13
"""Measured: the inotify instances of a node's systemd and its hollow or real kubelet."""
_ASK_SECONDS = 30.0
_REMOVE_SECONDS = 60.0
_NETWORK_SECONDS = 15.0
_RETRY_SECONDS = 0.5
_STOP_SECONDS = 10
_REMOVED = "find it with: docker {kind} ls --filter label={label}"
_STALE = (
    "no container uses it any more, but Docker still counts one (seen with Docker 20.10): restart "
    "Docker (systemctl restart docker), then run: kubecluster gc"
)
_RUNTIME_VOLUMES = ("/var/lib/docker", "/var/lib/containerd")
"""Where container runtimes keep layers. Overlays cannot be nested: each gets a volume."""
_Kind = Literal["container", "network"]

_HOST_CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "MAC_ADMIN", "MAC_OVERRIDE", "SYSLOG"),
    *("SYS_BOOT", "SYS_MODULE", "SYS_RAWIO", "SYS_TIME", "WAKE_ALARM"),
)
"""What would reach the host itself: its clock, modules, memory, kernel messages, power."""

CREATE_ARGS = (
    # systemd and container runtimes need a lot, but not --privileged: that gives every device of
    # the host too, and fails on hosts whose own capabilities are bounded (no SYS_RESOURCE). Devices
    # are the ones that every container has; Docker, containerd and a kubelet need no others.
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *(word for name in _HOST_CAPABILITIES for word in ("--cap-drop", name)),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    "--cgroupns=private",
    *("--tmpfs", "/run", "--tmpfs", "/tmp"),
    # What systemd takes as the request to shut down in a container.
    *("--stop-signal", "SIGRTMIN+3"),
)
"""The options of ``docker create`` for any node. Docker mounts /proc/sys and the like read-only."""


class ContainerMachines(BundledMachines):
    """Containers, booted from the bundled Vagrantfile.

    Vagrant is called once, to boot. Everything else goes to Docker directly, by the cluster's
    label: that takes a tenth of the time, and it finds what a killed Vagrant left behind.
    """

    provider = "docker"
    tools: ClassVar[Mapping[str, str]] = {
        "vagrant": "vagrant",
        "docker": "docker.io",
        "ssh": "openssh-client",
    }
    sees_this_host = True

    def __init__(self, name: str, folder: Path, box: BoxSource | None = None) -> None:
        """Describe the machines labelled ``name``; ``box`` names the image they boot from."""
        super().__init__(name, folder, box)
        self._given_image = box.where if box else None

    @classmethod
    def service_requirements(cls) -> Iterator[Requirement]:
        """Yield whether Docker can be used."""
        found = command_output(["docker", "version", "--format", "{{.Server.Version}}"])
        if not re.match(r"\d+\.", found):
            reason = found.splitlines()[-1] if found else "no answer"
            yield Requirement(
                "Docker daemon",
                f"Docker does not answer ({reason})",
                "start it: systemctl start docker, or dockerd",
            )
        elif numbers(found) < _OLDEST:
            wanted = ".".join(map(str, _OLDEST))
            yield Requirement(
                "Docker daemon",
                f"Docker {wanted} or newer is needed (private cgroup namespaces); this is {found}",
            )
        else:
            yield Requirement("Docker daemon", found=f"{found} answers")

    @classmethod
    def node_megabytes(cls, *, real: bool) -> int:
        """Return the memory that a container takes."""
        return _MEGABYTES

    @classmethod
    def room_requirements(cls, nodes: int, *, real: bool) -> Iterator[Requirement]:
        """Yield whether this host has room for ``nodes`` containers, which share its kernel."""
        yield from super().room_requirements(nodes, real=real)
        yield from inotify_requirements(nodes, _REAL_INOTIFY if real else _HOLLOW_INOTIFY)

    @classmethod
    def source_requirements(cls, *, real: bool) -> Iterator[Requirement]:
        """Yield whether there is a node image, or a way to build it."""
        yield image_requirement(variant_for(real=real))

    def timeout_factor(self) -> float:
        """Return 1: timeouts are measured for containers."""
        return 1.0

    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        control_plane: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a container for every node of ``spec``.

        With ``kubelets``, the folder of real ones, nodes get the volumes that their runtimes need.
        """
        # The folder, not the file: another kubelet can be put there while the machines run.
        binds = [f"{kubelets}:{INSTALLED}:ro", *_RUNTIME_VOLUMES] if kubelets else []
        binds += [f"{control_plane}:{PROGRAMS}:ro"] if control_plane else []
        plan = {
            "provider": self.provider,
            "user": USER,
            "private_key": str(self._key().path),
            "boot_timeout": int(timeout),
            "image": self._given_image or _own_image(real=kubelets is not None),
            "env": {"AUTHORIZED_KEY": self._key().public},
            "machines": [
                {
                    "name": node.name,
                    "container": self.machine(node.name),
                    "create_args": [
                        *CREATE_ARGS,
                        *("--network", self._network, "--ip", str(node.address)),
                        *("--label", f"{_LABEL}={self.name}"),
                    ],
                    "volumes": binds,
                }
                for node in spec
            ],
        }
        vagrant = vagrant_for_plan(plan, self._folder, commands, timeout, on_line)
        vagrant.boot(f"--provider={self.provider}")

    def made_of(self, *, real: bool) -> str:
        """Return the name of the image, with its digest if the name may move to another one."""
        if self._given_image:
            return f"{self._given_image} {image_id(self._given_image)}"
        return _own_image(real=real)

    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Build the node image if Docker does not have it. Raises KubeClusterError."""
        if not self._given_image:
            ensure_image(variant_for(real=real), commands, cache_folder(), say)
        elif not image_id(self._given_image):
            raise KubeClusterError(
                f"Docker has no image {self._given_image} (--kube-box)\n"
                f"  build it, or fetch it with: docker pull {self._given_image}"
            )

    def claim(self, network: IPv4Network) -> None:
        """Create the machines' network: Docker lets only one cluster have it."""
        options = ["--subnet", str(network), "--label", f"{_LABEL}={self.name}"]
        try:
            _docker("network", "create", *options, self._network)
        except KubeClusterError as error:
            raise NetworkTakenError(
                f"the network {network} cannot be created: {error}\n"
                "  choose another with --kube-network"
            ) from None

    @property
    def _network(self) -> str:
        return f"kubecluster-{self.name}"

    def machine(self, node: str) -> str:
        """Return the name of a node's container."""
        return f"{self.name}-{node}"

    def running(self) -> list[str]:
        """Return the names of the nodes whose containers run."""
        label = f"label={_LABEL}={self.name}"
        names = _docker("container", "ls", "--filter", label, "--format", "{{.Names}}")
        return [name.removeprefix(f"{self.name}-") for name in names]

    def console(self, node: str) -> list[str]:
        """Return the last lines on a node's console."""
        done = capture(["docker", "logs", "--tail=12", self.machine(node)], timeout=_ASK_SECONDS)
        return (done.stdout + done.stderr).splitlines()

    def reboot_command(self, node: str) -> list[str]:
        """Return the command that reboots a node's machine, from this host."""
        return ["docker", "restart", f"--time={_STOP_SECONDS}", self.machine(node)]

    def destroy(self) -> None:
        """Remove every container, volume and network that carries the cluster's label.

        Raises KubeClusterError naming what is left if Docker does not remove it in time.
        """
        if not poll(self._remove_containers, _REMOVE_SECONDS, every=_RETRY_SECONDS):
            self._complain("container", _REMOVED)
        if not poll(self._remove_networks, _NETWORK_SECONDS, every=_RETRY_SECONDS):
            self._complain("network", _STALE if self._endpoints_are_stale() else _REMOVED)

    def _remove_containers(self) -> bool:
        """Remove the containers one after the other, and return whether all are gone.

        Removing several at the same time, or one that restarts, can leave Docker 20.10 with a
        network that counts an endpoint too many, and that it never removes again.
        """
        for name in self._left("container"):
            _docker("container", "rm", "--force", "--volumes", name, check=False)
        return not self._left("container")

    def _remove_networks(self) -> bool:
        for name in self._left("network"):
            for endpoint in _endpoints(name):
                _docker("network", "disconnect", "--force", name, endpoint, check=False)
            _docker("network", "rm", name, check=False)
        return not self._left("network")

    def _endpoints_are_stale(self) -> bool:
        return not any(_endpoints(name) for name in self._left("network"))

    def _complain(self, kind: _Kind, way_out: str) -> None:
        names = ", ".join(self._left(kind))
        label = f"{_LABEL}={self.name}"
        raise KubeClusterError(
            f"cluster {self.name}: Docker did not remove the {kind} {names}\n"
            f"  {way_out.format(kind=kind, label=label)}"
        )

    def _left(self, kind: _Kind) -> list[str]:
        """Return what of the cluster is still there."""
        what = {
            "container": ["--all", "--format", "{{.Names}}"],
            "network": ["--format", "{{.Name}}"],
        }
        return _docker(kind, "ls", *what[kind], "--filter", f"label={_LABEL}={self.name}")


def _own_image(*, real: bool) -> str:
    return image_name(variant_for(real=real))


def _docker(*words: str, check: bool = True) -> list[str]:
    """Run Docker's client and return the words that it prints."""
    what = f"docker {words[0]} {words[1]}"
    return ask(["docker", *words], what=what, seconds=_REMOVE_SECONDS, check=check).split()


def _endpoints(network: str) -> list[str]:
    """Return the names of the containers that Docker believes to be in a network."""
    form = "{{range .Containers}}{{.Name}} {{end}}"
    return _docker("network", "inspect", "--format", form, network, check=False)
