"""Container nodes: booted by Vagrant, found again and removed by their label."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.docker.image import ensure_image, image_id, image_name
from pytest_kubecluster.machines.recipe import variant_for
from pytest_kubecluster.machines.ssh import USER
from pytest_kubecluster.machines.vagrant import vagrant_for_plan
from pytest_kubecluster.spec.launcher import INSTALLED
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands, ask

_LABEL = "kubecluster"
_REMOVE_SECONDS = 60.0
_STOP_SECONDS = 10
_RUNTIME_VOLUMES = ("/var/lib/docker", "/var/lib/containerd")
"""Where container runtimes keep layers, which do not go into layers: a volume of its own each."""

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


class ContainerMachines(BundledMachines):
    """Containers, booted from the bundled Vagrantfile.

    Vagrant is called once, to boot. Everything after is asked of Docker itself, by the cluster's
    label: that takes a tenth of the time, and it finds what a killed Vagrant left behind.
    """

    sees_this_host = True
    patience = 1.0

    def __init__(self, name: str, folder: Path, image: str | None = None) -> None:
        """Know the machines labelled ``name``, with all they have on this host below ``folder``.

        They boot from the Docker image ``image``, or from our own.
        """
        super().__init__(folder)
        self.name = name
        self._given_image = image

    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a container for every node of ``spec`` and wait until Vagrant calls them ready.

        With ``kubelets``, the folder of real ones, nodes get the volumes that their runtimes need.
        """
        assert spec.network is not None
        # The folder, not the file: another kubelet can be put there while the machines run.
        binds = [f"{kubelets}:{INSTALLED}:ro", *_RUNTIME_VOLUMES] if kubelets else []
        plan = {
            "provider": "docker",
            "user": USER,
            "private_key": str(self._key.path),
            "boot_timeout": int(timeout),
            "image": self._given_image or _own_image(real=kubelets is not None),
            "label": f"{_LABEL}={self.name}",
            "prefix": spec.network.prefixlen,
            "env": {"AUTHORIZED_KEY": self._key.public},
            "machines": [
                {
                    "name": node.name,
                    "container": self.machine(node.name),
                    "address": str(node.address),
                    "create_args": [*_CREATE_ARGS, "--label", f"{_LABEL}={self.name}"],
                    "volumes": binds,
                }
                for node in spec
            ],
        }
        vagrant = vagrant_for_plan(plan, self._folder, commands, timeout, on_line)
        vagrant.boot("--provider=docker")

    def made_of(self, *, real: bool) -> str:
        """Return the name of the node image, with its content's where the name may move."""
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
                f"  build it or get it: docker pull {self._given_image}"
            )

    def claim(self, network: IPv4Network) -> None:
        """Make the machines' network, which Docker gives to one cluster only, whoever asks."""
        options = ["--subnet", str(network), "--label", f"{_LABEL}={self.name}"]
        try:
            _docker("network", "create", *options, f"kubecluster-{self.name}")
        except KubeClusterError as error:
            raise NetworkTakenError(
                f"the network {network} cannot be had: {error}\n"
                "  choose another with --kube-network"
            ) from None

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
        argv = ["docker", "logs", "--tail=12", self.machine(node)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        return (done.stdout + done.stderr).splitlines()

    def reboot_command(self, node: str) -> list[str]:
        """Return the command that reboots a node's machine, from this host."""
        return ["docker", "restart", f"--time={_STOP_SECONDS}", self.machine(node)]

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


def _own_image(*, real: bool) -> str:
    return image_name(variant_for(real=real))


def _docker(*words: str, check: bool = True) -> list[str]:
    """Run Docker's client and return the words it prints."""
    what = f"docker {words[0]} {words[1]}"
    return ask(["docker", *words], what=what, seconds=_REMOVE_SECONDS, check=check).split()
