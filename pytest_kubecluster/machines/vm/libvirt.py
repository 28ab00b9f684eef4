"""Virtual machines of libvirt: run by QEMU, with KVM where that works."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.kubelet.host_requirements import needs_cgroup_v1
from pytest_kubecluster.machines.preflight import Requirement, command_output
from pytest_kubecluster.machines.ssh import USER
from pytest_kubecluster.machines.ssh_key import SshKey
from pytest_kubecluster.machines.vagrant import vagrant_home
from pytest_kubecluster.machines.vm.base import VirtualMachines, login_script
from pytest_kubecluster.machines.vm.box_build import DISK, INITRD, KERNEL
from pytest_kubecluster.machines.vm.kvm import QEMU, kvm_works
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.process import Commands, ask, last_lines

URI = "qemu:///system"
IMAGES = Path("/var/lib/libvirt/images")
"""Where libvirt is allowed to have disks. The pool of a cluster is a folder in it."""
_SECONDS = 60.0
_LINES = 12
_EMULATED_FACTOR = 10.0
_EMULATOR_MEGABYTES = 1024
"""What QEMU takes for the code that it translates (tb-size, one gigabyte by default)."""
_COMMAND_LINE = "root=/dev/vda rw quiet console=ttyS0 systemd.show_status=1 systemd.log_color=0"
_CGROUP_V1 = "systemd.unified_cgroup_hierarchy=0"


class LibvirtMachines(VirtualMachines):
    """Machines with their own network and storage pool, both named after the cluster."""

    provider = "libvirt"
    tools: ClassVar[Mapping[str, str]] = {
        "vagrant": "vagrant",
        "virsh": "libvirt-clients",
        QEMU: "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "ssh": "openssh-client",
    }

    @staticmethod
    def disks_of_box(metadata: Mapping[str, Any]) -> Sequence[str]:
        """Return the disks of a box, which its metadata names if there are several."""
        return [disk.get("path", "") for disk in metadata.get("disks", ())] or [DISK]

    @classmethod
    def service_requirements(cls) -> Iterator[Requirement]:
        """Yield whether libvirt can be used."""
        if not any("vagrant-libvirt" in path.read_text() for path in _plugin_lists()):
            yield Requirement(
                "vagrant-libvirt",
                "Vagrant has no plugin for libvirt",
                "install it with: apt-get install vagrant-libvirt (with HashiCorp's Vagrant: "
                "vagrant plugin install vagrant-libvirt)",
            )
        found = command_output(["virsh", "--connect", URI, "--quiet", "uri"])
        if URI not in found.splitlines():
            reason = found.splitlines()[-1] if found else "no answer"
            yield Requirement(
                "libvirt",
                f"libvirt does not answer ({reason})",
                "install libvirt-daemon-system and start it: systemctl start libvirtd, or virtlogd "
                "-d; libvirtd -d; users other than root must be in the group libvirt",
            )
        else:
            yield Requirement("libvirt", found=f"{URI} answers")

    @classmethod
    def node_megabytes(cls, *, real: bool) -> int:
        """Return the memory of a machine, with what emulating it takes."""
        return super().node_megabytes(real=real) + (0 if kvm_works() else _EMULATOR_MEGABYTES)

    @classmethod
    def disk_folders(cls) -> list[Path]:
        """Return the cache of boxes, and the folder of libvirt's disks."""
        return [*super().disk_folders(), IMAGES]

    def timeout_factor(self) -> float:
        """Return how much slower a machine may be, emulated without KVM."""
        return super().timeout_factor() if kvm_works() else _EMULATED_FACTOR

    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Build or fetch the box, and announce that booting takes long if it does."""
        super().prepare(commands, say, real=real)
        if not kvm_works():
            say("KVM does not work here: the machines are emulated, and take a minute to boot")

    def claim(self, network: IPv4Network) -> None:
        """Create the machines' network, in which this host has the first address."""
        xml = (
            f"<network><name>{self._label}</name><forward mode='nat'/>"
            f"<ip address='{network[1]}' prefix='{network.prefixlen}'/></network>"
        )
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
                file.write(xml)
                file.flush()
                _virsh("net-define", file.name)
            _virsh("net-start", self._label)
        except KubeClusterError as error:
            raise NetworkTakenError(
                f"the network {network} cannot be created: {error}\n"
                "  choose another with --kube-network"
            ) from None

    def _plan(self, spec: ClusterSpec, box: Path, megabytes: int) -> dict[str, Any]:
        """Create the pool, reserve the addresses, and return the plan."""
        _virsh("pool-define-as", self._label, "dir", "--target", str(IMAGES / self._label))
        _virsh("pool-build", self._label)
        _virsh("pool-start", self._label)
        # QEMU runs as another user, which cannot read this user's files.
        for file in (box / KERNEL, box / INITRD):
            if file.exists():
                size = str(file.stat().st_size)
                _virsh("vol-create-as", self._label, file.name, size, "--format", "raw")
                _virsh("vol-upload", "--pool", self._label, file.name, str(file))
        for node in spec:
            host = f"<host mac='{mac(node.address)}' name='{node.name}' ip='{node.address}'/>"
            _virsh("net-update", self._label, "add", "ip-dhcp-host", host, "--live", "--config")
        kernel = (box / KERNEL).exists()
        return libvirt_plan(
            spec, self._label, self._key(), kvm=kvm_works(), kernel=kernel, megabytes=megabytes
        )

    def running(self) -> list[str]:
        """Return the names of the nodes whose machines run."""
        names = _virsh("list", "--name")
        return [name.removeprefix(self.machine("")) for name in names if self._is_ours(name)]

    def console(self, node: str) -> list[str]:
        """Return the last lines on a node's console."""
        with tempfile.TemporaryDirectory() as folder, suppress(KubeClusterError):
            file = Path(folder) / "console"
            _virsh("pool-refresh", self._label)
            _virsh("vol-download", "--pool", self._label, f"{node}.console", str(file))
            return last_lines(file, _LINES)
        return []

    def destroy(self) -> None:
        """Remove every machine, disk, pool and network of the cluster.

        Raises KubeClusterError naming what is left when libvirt does not remove it in time.
        """
        if not poll(self._removed, _SECONDS):
            raise KubeClusterError(
                f"libvirt did not remove {', '.join(self._left())}\n"
                f"  find it with: virsh -c {URI} list --all (net-list, pool-list)"
            )

    def _removed(self) -> bool:
        """Remove what is left of the cluster, and return whether everything is gone."""
        if self._left():
            self._remove()
        return not self._left()

    def _left(self) -> list[str]:
        """Return what is left of the cluster."""
        machines = [name for name in _virsh("list", "--all", "--name") if self._is_ours(name)]
        pools = [name for name in _virsh("pool-list", "--all", "--name") if name == self._label]
        networks = [name for name in _virsh("net-list", "--all", "--name") if name == self._label]
        return [
            *(f"machine {name}" for name in machines),
            *(f"pool {name}" for name in pools),
            *(f"network {name}" for name in networks),
        ]

    def _remove(self) -> None:
        for name in filter(self._is_ours, _virsh("list", "--all", "--name")):
            _virsh("destroy", name, check=False)
            _virsh("undefine", name, "--managed-save", "--snapshots-metadata", check=False)
        # A pool can be emptied only while it is active, and its folder removed only afterwards.
        _virsh("pool-start", self._label, check=False)
        _virsh("pool-refresh", self._label, check=False)
        for volume in _virsh("vol-list", self._label, check=False)[::2]:
            _virsh("vol-delete", volume, "--pool", self._label, check=False)
        for command in ("pool-destroy", "pool-delete", "pool-undefine"):
            _virsh(command, self._label, check=False)
        for command in ("net-destroy", "net-undefine"):
            _virsh(command, self._label, check=False)


def libvirt_plan(
    spec: ClusterSpec, label: str, key: SshKey, *, kvm: bool, kernel: bool, megabytes: int
) -> dict[str, Any]:
    """Return the plan with which the bundled Vagrantfile boots ``spec`` with libvirt.

    ``label`` names the network, the pool and the box, and is the prefix of the machines' names.
    With ``kernel``, the box boots the kernel in the pool and takes the login key from its command
    line. Into other boxes, Vagrant logs in once with its well-known key, to install the cluster's.
    """
    pool = IMAGES / label
    login = {"user": USER, "private_key": str(key.path)} if kernel else {"shell": login_script(key)}
    fast = {"driver": "kvm", "cpu_mode": "host-passthrough"}
    emulated = {"driver": "qemu", "cpu_mode": "maximum"}
    own_kernel = {"kernel": str(pool / KERNEL), "initrd": str(pool / INITRD)}
    words = [_COMMAND_LINE, f"kubecluster.key={key.public.split()[1]}"]
    words += [_CGROUP_V1] if needs_cgroup_v1(spec.version) else []
    return {
        **login,
        "settings": {
            "uri": URI,
            **(fast if kvm else emulated),
            "cpus": 1,
            "memory": megabytes,
            "graphics_type": "none",
            "default_prefix": f"{label}.",
            "storage_pool_name": label,
            "management_network_name": label,
            "management_network_address": str(spec.network),
            "management_network_keep": True,
            **(own_kernel if kernel else {}),
        },
        "machines": [
            {
                "name": node.name,
                "console": str(pool / f"{node.name}.console"),
                "settings": {
                    "management_network_mac": mac(node.address),
                    **(
                        {"cmd_line": " ".join([*words, f"systemd.hostname={node.name}"])}
                        if kernel
                        else {}
                    ),
                },
            }
            for node in spec
        ],
    }


def _plugin_lists() -> Iterator[Path]:
    """Yield the files that name Vagrant's plugins: Debian's, and those of this user."""
    yield from Path("/usr/share/vagrant-plugins/plugins.d").glob("*.json")
    yield from vagrant_home().glob("plugins.json")


def mac(address: IPAddress) -> str:
    """Return the hardware address of the node with that IP address, with the prefix of KVM."""
    return ":".join(["52:54:00", *(f"{byte:02x}" for byte in address.packed[-3:])])


def _virsh(*words: str, check: bool = True) -> list[str]:
    """Run libvirt's client and return the words that it prints."""
    argv = ["virsh", "--connect", URI, "--quiet", *words]
    return ask(argv, what=f"virsh {words[0]}", seconds=_SECONDS, check=check).split()
