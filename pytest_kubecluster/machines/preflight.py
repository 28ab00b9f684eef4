"""Checks whether this host can boot a cluster: quick questions, asked before anything starts."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from textwrap import indent

import psutil

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.host_requirements import kernel_problems, kernel_summary
from pytest_kubecluster.machines.packages import way_to_install
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.process import capture

_SECONDS = 20
_OLDEST_VAGRANT = (2, 2)
_OLDEST_ANSIBLE = (2, 15)
_FREE_DISK_MEGABYTES = 512
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


@dataclass(frozen=True)
class Requirement:
    """What this host must have: what was found of it, or the problem and the way out."""

    name: str
    problem: str = ""
    way_out: str = ""
    found: str = ""

    @property
    def met(self) -> bool:
        """Whether the host has it."""
        return not self.problem

    @property
    def text(self) -> str:
        """The problem and the way out as one sentence."""
        return f"{self.problem}; {self.way_out}" if self.way_out else self.problem


def problems(requirements: Iterable[Requirement]) -> list[str]:
    """Return what is missing, each with the way out."""
    return [one.text for one in requirements if not one.met]


def complain(found: Sequence[str], kind: type[KubeClusterError] = KubeClusterError) -> None:
    """Raise ``kind`` with all problems ``found`` of this host, if there are any."""
    if found:
        listed = "\n".join("  - " + indent(problem, "    ").lstrip() for problem in found)
        raise kind(
            f"this host cannot boot the cluster:\n{listed}\n"
            "  kubecluster doctor shows all that is needed"
        )


def check_kernel(spec: ClusterSpec, *, real: bool) -> None:
    """Check that the kubelets of ``spec`` run in containers on this host's kernel.

    ``real`` is whether they are real ones. Raises KubeClusterError with all problems, one line
    each, and the ways out.
    """
    complain([*kernel_problems(spec, real=real)])


def python_requirement() -> Requirement:
    """Return the Python that runs this: an older one than is needed cannot install the package."""
    return Requirement("Python", found=f"{platform.python_version()}, {sys.executable}")


def kernel_requirement(spec: ClusterSpec, *, real: bool) -> Requirement:
    """Return whether the kubelets of ``spec`` run on this host's kernel, and which others do."""
    found = "; ".join(kernel_problems(spec, real=real))
    return Requirement("kernel", found, found=f"{platform.release()}, {kernel_summary()}")


def tool_requirements(tools: Mapping[str, str]) -> Iterator[Requirement]:
    """Yield whether ``tools``, each with the package that has it, are there and new enough.

    Ansible is checked as well, since every kind of machine needs it.
    """
    yield _ansible()
    for tool, package in tools.items():
        path = shutil.which(tool)
        if path is None:
            yield Requirement(tool, f"{tool} is not on the PATH", way_to_install(package))
        elif tool == "vagrant":
            yield _vagrant(path)
        else:
            yield Requirement(tool, found=path)


def _ansible() -> Requirement:
    name, found = "ansible-core", version("ansible-core")
    playbook = Path(sys.executable).with_name("ansible-playbook")
    if not playbook.exists() and shutil.which("ansible-playbook") is None:
        problem = "ansible-playbook is missing"
        return Requirement(name, problem, "install it with: pip install ansible-core")
    if numbers(found) < _OLDEST_ANSIBLE:
        problem = f"ansible-core {found} is too old"
        return Requirement(name, problem, "update it: pip install -U ansible-core")
    return Requirement(name, found=found)


def _vagrant(path: str) -> Requirement:
    found = command_output(["vagrant", "--version"])
    if numbers(found) < _OLDEST_VAGRANT:
        wanted = ".".join(map(str, _OLDEST_VAGRANT))
        problem = f"Vagrant {wanted} or newer is needed, and `vagrant --version` prints: {found}"
        return Requirement("vagrant", problem)
    return Requirement("vagrant", found=f"{found.removeprefix('Vagrant ')}, {path}")


def memory_requirement(nodes: int, megabytes: int) -> Requirement:
    """Return whether there is room for ``nodes`` machines of ``megabytes`` of memory."""
    needed = megabytes * nodes
    free = psutil.virtual_memory().available // 2**20
    if free < needed:
        problem = f"{nodes} nodes need about {needed} MB of memory, and {free} MB are free"
        return Requirement("memory", problem)
    return Requirement("memory", found=f"{free} MB free; {nodes} nodes take about {needed} MB")


def disk_requirements(folders: Iterable[Path]) -> Iterator[Requirement]:
    """Yield whether the disks of ``folders`` have room."""
    for folder in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free // 2**20
        if free < _FREE_DISK_MEGABYTES:
            yield Requirement(
                "disk",
                f"the disk of {existing} has {free} MB left, and {_FREE_DISK_MEGABYTES} MB are "
                "needed",
            )
        else:
            yield Requirement("disk", found=f"{free} MB free for {folder}")


def inotify_requirements(nodes: int, instances: int) -> Iterator[Requirement]:
    """Yield whether ``nodes`` containers can have ``instances`` inotify instances each.

    The kernel limits them per user, and root in a container is root. Only root can count how many
    are in use; for other users, the limit alone counts.
    """
    if not _INOTIFY_LIMIT.exists():
        return
    limit, needed = int(_INOTIFY_LIMIT.read_text()), nodes * instances
    free = min(limit, free_inotify_instances(needed)) if os.geteuid() == 0 else limit
    if free < needed:
        yield Requirement(
            "inotify",
            f"{nodes} nodes need about {needed} inotify instances, and {free} of {limit} are free, "
            f"which is enough for {free // instances}",
            f"raise the limit: sysctl -w fs.inotify.max_user_instances={limit - free + 2 * needed}",
        )
    else:
        yield Requirement("inotify", found=f"{nodes} nodes take about {needed} of {limit}")


def free_inotify_instances(wanted: int) -> int:
    """Return how many inotify instances this user can still have, up to ``wanted``."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    try:
        while len(taken) < wanted and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            taken.append(descriptor)
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return len(taken)


def numbers(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version in ``text``, zeros if there is none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def command_output(argv: Sequence[str]) -> str:
    """Return what a command prints, or why it does not run."""
    try:
        done = capture(argv, timeout=_SECONDS)
    except KubeClusterError as error:
        return str(error)
    return (done.stdout + done.stderr).strip()
