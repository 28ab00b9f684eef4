"""Checks whether this host can boot a cluster: quick questions, asked before anything starts."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.host_requirements import kernel_problems
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.process import capture

_SECONDS = 20
_OLDEST_VAGRANT = (2, 2)
_OLDEST_ANSIBLE = (2, 15)
_FREE_DISK_MEGABYTES = 512
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def complain(problems: Sequence[str], kind: type[KubeClusterError] = KubeClusterError) -> None:
    """Raise ``kind`` with all ``problems`` of this host, one line each, if there are any."""
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise kind(f"this host cannot boot the cluster:\n{listed}")


def check_kernel(spec: ClusterSpec, *, real: bool) -> None:
    """Check that the kubelets of ``spec`` run in containers on this host's kernel.

    ``real`` is whether they are real ones. Raises KubeClusterError with all problems, one line
    each, and the ways out.
    """
    complain([*kernel_problems(spec, real=real)])


def tool_problems(tools: Mapping[str, str]) -> Iterator[str]:
    """Yield which of ``tools`` are missing or too old, each with the package that has it.

    Ansible is checked as well, since every kind of machine needs it.
    """
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            yield f"{tool} is not on the PATH; install it with: apt-get install {package}"
    playbook = Path(sys.executable).with_name("ansible-playbook")
    if not playbook.exists() and shutil.which("ansible-playbook") is None:
        yield "ansible-playbook is missing; install it with: pip install ansible-core"
    if numbers(version("ansible-core")) < _OLDEST_ANSIBLE:
        yield f"ansible-core {version('ansible-core')} is too old; pip install -U ansible-core"
    if "vagrant" in tools and shutil.which("vagrant"):
        found = command_output(["vagrant", "--version"])
        if numbers(found) < _OLDEST_VAGRANT:
            wanted = ".".join(map(str, _OLDEST_VAGRANT))
            yield f"Vagrant {wanted} or newer is needed, and `vagrant --version` prints: {found}"


def memory_problems(nodes: int, megabytes: int) -> Iterator[str]:
    """Yield a problem if there is no room for ``nodes`` machines of ``megabytes`` of memory."""
    needed = megabytes * nodes
    free = psutil.virtual_memory().available // 2**20
    if free < needed:
        yield f"{nodes} nodes need about {needed} MB of memory, and {free} MB are free"


def disk_problems(folders: Iterable[Path]) -> Iterator[str]:
    """Yield which of the disks of ``folders`` are full."""
    for folder in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free // 2**20
        if free < _FREE_DISK_MEGABYTES:
            yield (
                f"the disk of {existing} has {free} MB left, and {_FREE_DISK_MEGABYTES} MB are "
                "needed"
            )


def inotify_problems(nodes: int, instances: int) -> Iterator[str]:
    """Yield a problem if ``nodes`` containers cannot have ``instances`` inotify instances each.

    The kernel limits them per user, and root in a container is root. Only root can count how many
    are in use; for other users, the limit alone counts.
    """
    if not _INOTIFY_LIMIT.exists():
        return
    limit, needed = int(_INOTIFY_LIMIT.read_text()), nodes * instances
    free = min(limit, free_inotify_instances(needed)) if os.geteuid() == 0 else limit
    if free < needed:
        yield (
            f"{nodes} nodes need about {needed} inotify instances, and {free} of {limit} are free, "
            f"which is enough for {free // instances}; raise the limit: "
            f"sysctl -w fs.inotify.max_user_instances={limit - free + 2 * needed}"
        )


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
