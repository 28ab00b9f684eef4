"""Facts about the machine that the kubelet reports."""

from __future__ import annotations

import os
import re

from hollow_common.go import text_of

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def has_cgroup_v2() -> bool:
    """Return whether this machine has the unified hierarchy of control groups."""
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def architecture() -> str:
    """Return the machine's architecture as Go names it."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


def machine_id() -> str:
    """Return the machine's id."""
    return (text_of("/etc/machine-id") or text_of("/var/lib/dbus/machine-id")).strip()


def boot_id() -> str:
    """Return the id of this boot."""
    return text_of("/proc/sys/kernel/random/boot_id").strip()


def os_image() -> str:
    """Return the distribution's name."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', text_of("/etc/os-release"), re.MULTILINE)
    return name[1] if name else "Unknown"


def memory_bytes() -> int:
    """Return the size of the machine's memory."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", text_of("/proc/meminfo"), re.MULTILINE)
    return int(total[1]) * 1024 if total else 0


def local_addresses() -> set[str]:
    """Return the IPv4 addresses of this machine's interfaces."""
    return set(re.findall(r"\|-- (\S+)\s+/32 host LOCAL", text_of("/proc/net/fib_trie")))
