"""Is this host fit to boot the cluster? Asked first, since the answer costs a moment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.host_requirements import kernel_problems
from pytest_kubecluster.machines.vagrant import vagrant_home
from pytest_kubecluster.machines.vm.kvm import QEMU
from pytest_kubecluster.machines.vm.libvirt import URI
from pytest_kubecluster.spec.model import ClusterSpec

_SECONDS = 20
_PACKAGES = {
    "vagrant": "vagrant",
    "docker": "docker.io",
    "ssh": "openssh-client",
    "virsh": "libvirt-clients",
    "qemu-img": "qemu-utils",
    QEMU: "qemu-system-x86",
    "VBoxManage": "virtualbox",
}
_TOOLS = {
    "docker": ("vagrant", "docker", "ssh"),
    "libvirt": ("vagrant", "virsh", QEMU, "qemu-img", "ssh"),
    "vagrantfile": ("vagrant", "ssh"),
    "virtualbox": ("vagrant", "VBoxManage", "ssh"),
    "inventory": ("ssh",),
}
"""What machines from a source take."""
_OLDEST_VAGRANT = (2, 2)
_OLDEST_DOCKER = (20, 10)
_OLDEST_ANSIBLE = (2, 15)
_FREE_DISK_MEGABYTES = 512


def check_tools(source: str = "docker") -> None:
    """Check that what machines from ``source`` take is there, new enough, and answers.

    Raises KubeClusterError with all that is wrong, one line each, and what to do about it.
    """
    problems = [*_tool_problems(source)]
    if not problems and source == "docker":
        problems = [*_docker_problems()]
    if not problems and source == "libvirt":
        problems = [*_libvirt_problems()]
    complain(problems)


def check_room(spec: ClusterSpec, folders: Iterable[Path], megabytes: int) -> None:
    """Check that memory and the disks of ``folders`` have room for the cluster.

    ``megabytes`` is the memory that a node takes. Raises KubeClusterError with all that is wrong,
    one line each, and what to do about it.
    """
    complain([*_memory_problems(spec, megabytes), *_disk_problems(folders)])


def check_kernel(spec: ClusterSpec, *, real: bool) -> None:
    """Check that this host's kernel is one that container nodes of ``spec`` run on.

    ``real`` is whether their kubelets are. Raises KubeClusterError with all that is wrong, one line
    each, and what to do about it.
    """
    complain([*kernel_problems(spec, real=real)])


def complain(problems: Sequence[str], kind: type[KubeClusterError] = KubeClusterError) -> None:
    """Raise ``kind`` with all ``problems`` of this host, one line each, if there are any."""
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise kind(f"this host cannot boot the cluster:\n{listed}")


def _tool_problems(source: str) -> Iterator[str]:
    for tool in _TOOLS[source]:
        if shutil.which(tool) is None:
            yield f"{tool} is not on the PATH; install it with: apt-get install {_PACKAGES[tool]}"
    playbook = Path(sys.executable).with_name("ansible-playbook")
    if not playbook.exists() and shutil.which("ansible-playbook") is None:
        yield "ansible-playbook is missing; install it with: pip install ansible-core"
    if _numbers(version("ansible-core")) < _OLDEST_ANSIBLE:
        yield f"ansible-core {version('ansible-core')} is too old; pip install -U ansible-core"
    if "vagrant" in _TOOLS[source] and shutil.which("vagrant"):
        found = command_output(["vagrant", "--version"])
        if _numbers(found) < _OLDEST_VAGRANT:
            wanted = ".".join(map(str, _OLDEST_VAGRANT))
            yield f"Vagrant {wanted} or newer is needed, and `vagrant --version` says: {found}"


def _docker_problems() -> Iterator[str]:
    found = command_output(["docker", "version", "--format", "{{.Server.Version}}"])
    if not re.match(r"\d+\.", found):
        reason = found.splitlines()[-1] if found else "no answer"
        yield f"Docker does not answer ({reason}); start it: systemctl start docker, or dockerd"
    elif _numbers(found) < _OLDEST_DOCKER:
        wanted = ".".join(map(str, _OLDEST_DOCKER))
        yield f"Docker {wanted} or newer is needed (private cgroup namespaces); this is {found}"


def _libvirt_problems() -> Iterator[str]:
    if not any("vagrant-libvirt" in path.read_text() for path in _plugin_lists()):
        yield "Vagrant has no plugin for libvirt; install it with: apt-get install vagrant-libvirt"
    found = command_output(["virsh", "--connect", URI, "--quiet", "uri"])
    if URI not in found.splitlines():
        reason = found.splitlines()[-1] if found else "no answer"
        yield (
            f"libvirt does not answer ({reason}); install libvirt-daemon-system and start it: "
            "systemctl start libvirtd, or virtlogd -d; libvirtd -d; who is not root must be in the "
            "group libvirt"
        )


def _plugin_lists() -> Iterator[Path]:
    """Yield the files that name Vagrant's plugins: Debian's, and those of this user."""
    yield from Path("/usr/share/vagrant-plugins/plugins.d").glob("*.json")
    yield from vagrant_home().glob("plugins.json")


def _memory_problems(spec: ClusterSpec, megabytes: int) -> Iterator[str]:
    needed = megabytes * len(spec.nodes)
    free = psutil.virtual_memory().available // 2**20
    if free < needed:
        yield f"{len(spec.nodes)} nodes need about {needed} MB of memory, and {free} MB are free"


def _disk_problems(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free // 2**20
        if free < _FREE_DISK_MEGABYTES:
            yield (
                f"the disk of {existing} has {free} MB left, and {_FREE_DISK_MEGABYTES} MB are "
                "needed"
            )


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def command_output(argv: Sequence[str]) -> str:
    """Return what a command prints, or why it does not run."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.decode(errors="replace").strip()
