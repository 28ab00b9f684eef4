"""Find the process that is the kubelet, among those that its unit started."""

from __future__ import annotations

import mmap
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .system import inside, output, ownership, text

_PROGRAM = re.compile(
    r"(kubelet|hyperkube)(?:[-_.]?v?\d[\w.+-]*|[-.](?:bin|real))?|\.(kubelet|hyperkube)-wrapped"
)
"""Names of the program: its own, with a version, or what a wrapper of this name runs."""
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox")
_CLIENTS = (
    "podman",
    "docker",
    "nerdctl",
    "ctr",
    "crictl",
    "rkt",
    "runc",
    "crun",
    "lxc",
    "machinectl",
    "systemd-run",
)
"""Programs that have something else start the process: it is not below them."""


@dataclass(frozen=True)
class Process:
    """A process as the kernel describes it."""

    pid: int
    parent: int
    argv: tuple[str, ...]
    group: str
    started: int
    """In clock ticks since the node booted."""

    executable: str = ""
    """The program's file; its argv may call it otherwise."""

    @property
    def is_kubelet(self) -> bool:
        """Whether its program is a kubelet, however it is started."""
        return bool(program(self.argv) or program((self.executable, *self.argv[1:])))


def program(argv: tuple[str, ...]) -> str | None:
    """Return the kubelet's program in a command line, or None where that is another program.

    A program in an interpreted language is named by its script; a shell script that is called
    kubelet starts one, but is not one itself. A hyperkube is one if it runs the kubelet.
    """
    words = list(argv)
    if not words or not words[0]:
        return None
    if os.path.basename(words[0]).startswith("python"):
        del words[0]
        while words and words[0].startswith("-") and words[0] not in ("-c", "-m"):
            del words[0]
    elif os.path.basename(words[0]) in _SHELLS:
        return None
    if not words or not is_program(words[0]):
        return None
    if "hyperkube" in os.path.basename(words[0]) and "kubelet" not in words[1:3]:
        return None
    return words[0]


def is_program(path: str) -> bool:
    """Return whether a path is that of a kubelet or hyperkube, by its name."""
    return bool(_PROGRAM.fullmatch(os.path.basename(path)))


def processes() -> list[Process]:
    """Return all processes of the node, but for the kernel's."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (words := argv(int(name))):
            _, _, rest = text(f"/proc/{name}/stat").rpartition(") ")
            fields = rest.split()
            if len(fields) > 19 and fields[0] not in "ZX":
                group = text(f"/proc/{name}/cgroup")
                parent, started = int(fields[1]), int(fields[19])
                found.append(
                    Process(int(name), parent, words, group, started, _executable(int(name)))
                )
    return sorted(found, key=lambda process: process.started)


def _executable(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def argv(pid: int) -> tuple[str, ...]:
    """Return a process's arguments as the kernel has them."""
    words = text(f"/proc/{pid}/cmdline")
    return tuple(words.rstrip("\0").split("\0")) if words.strip("\0") else ()


def of_unit(every: list[Process], unit: dict[str, str]) -> list[Process]:
    """Return the processes of a unit: its control group's, and those below them."""
    main, group = int(unit.get("MainPID") or 0), unit.get("ControlGroup", "")
    inside = {one.pid for one in every if one.pid == main or (group and _within(one.group, group))}
    for one in every:  # in the order of their start: parents come first
        if one.parent in inside:
            inside.add(one.pid)
    return [one for one in every if one.pid in inside]


def _within(groups: str, group: str) -> bool:
    return any(
        re.search(rf"{re.escape(group)}(/|$)", line.split(":", 2)[-1])
        for line in groups.splitlines()
    )


def unit_of(one: Process) -> str:
    """Return the service whose control group a process is in, or nothing."""
    for line in one.group.splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers in ("", "name=systemd"):
            services = [part for part in path.split("/") if part.endswith(".service")]
            return services[-1] if services else ""
    return ""


def kubelet_of(unit: dict[str, str], every: list[Process]) -> Process | None:
    """Return the kubelet that a unit runs: the main process, or the first below it that is one.

    Where the unit only asks a container runtime for it, that is the one kubelet of the node; such a
    unit may have ended and count as active (``RemainAfterExit=``).
    """
    ours = of_unit(every, unit)
    main = [one for one in ours if one.pid == int(unit.get("MainPID") or 0)]
    for one in [*main, *ours]:
        if one.is_kubelet:
            return one
    asked = unit.get("SubState") == "exited" or any(
        os.path.basename(word) in _CLIENTS for one in ours for word in one.argv[:3]
    )
    kubelets = [one for one in every if one.is_kubelet]
    return kubelets[0] if asked and kubelets else None


def root_of(pid: int) -> str:
    """Return where the file system of a process is seen, or nothing if that is the node's own."""
    try:
        same = os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        return "" if same and os.readlink(f"/proc/{pid}/root") == "/" else f"/proc/{pid}/root"
    except OSError:
        return ""


def describe(process: Process, main: int) -> dict[str, Any]:
    """Return what is known of a kubelet's process and its program's file."""
    root = root_of(process.pid)
    path = program(process.argv) or process.argv[0]
    try:
        executable = os.readlink(f"/proc/{process.pid}/exe")
        folder = os.readlink(f"/proc/{process.pid}/cwd")
    except OSError:
        executable, folder = "", "/"
    if os.path.basename(executable.split(" ")[0]).startswith("python") or not executable:
        # Interpreted: the program is the script.
        path = os.path.join(folder, path) if "/" in path else path
    else:
        path = executable
    return {
        "pid": process.pid,
        "main": process.pid == main,
        "argv": list(process.argv),
        "root": root,
        "folder": folder,
        "program": path.removesuffix(" (deleted)"),
        "program_file": ownership(path, root),
        "replaced": _replaced(process, path, root),
    }


def _replaced(process: Process, path: str, root: str) -> str:
    """Return how the program's file differs from the running one, or an empty text."""
    here = inside(root, path.removesuffix(" (deleted)"))
    try:
        on_disk = os.stat(here)
    except OSError:
        return "its file is gone"
    running = os.stat(f"/proc/{process.pid}/exe")
    if path == os.readlink(f"/proc/{process.pid}/exe"):
        same = (on_disk.st_dev, on_disk.st_ino) == (running.st_dev, running.st_ino)
        return "" if same else "its file was replaced"
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + process.started / os.sysconf("SC_CLK_TCK")
    # A clock tick has 10 ms.
    return "its file was changed" if on_disk.st_mtime > started + 0.05 else ""


def version_in_program(pid: int) -> str:
    """Return the version that is built into a Go program, or nothing if it cannot be found.

    The linker ends each variable that was set with ``-X`` by a zero byte, and Kubernetes sets
    gitVersion so in more than one package.
    """
    counts: dict[bytes, int] = {}
    exe = f"/proc/{pid}/exe"
    if not is_program(_executable(pid)):
        return ""
    with open(exe, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return ""
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in re.finditer(
                rb"v1\.\d{1,2}\.\d{1,3}(?:[-+][0-9A-Za-z.+-]{1,40})?\0", content
            ):
                counts[match[0]] = counts.get(match[0], 0) + 1
    if not counts:
        return ""
    most = max(counts.values())
    likely = [one for one, count in counts.items() if count == most]
    return likely[0][:-1].decode() if len(likely) == 1 else ""


def version_in_journal(unit: str, pid: int, seconds: float) -> str:
    """Return the version that the kubelet wrote into its journal when it started, or nothing."""
    said = r"(?:Version: |Started kubelet |kubeletVersion=\"?)"
    command = ["journalctl", "--unit", unit, "--no-pager", "--output=cat", "--lines=1"]
    found = output([*command, "--grep", said + r"v1\.", f"_PID={pid}"], seconds)
    match = re.search(said + r"(v1\.\d+\.\d+[^\s\"]*)", found["output"])
    return match[1] if match and found["status"] == 0 else ""


def holders(ports: list[int], kubelet: int) -> dict[str, Any]:
    """Return the pid that listens on each TCP port of the node: the kubelet's or another's."""
    sockets: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in text(table).splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == "0A" and port in ports:
                sockets[f"socket:[{fields[9]}]"] = port
    held: dict[str, Any] = {}
    pids = [kubelet, *(int(name) for name in os.listdir("/proc") if name.isdigit())]
    for pid in pids:
        for link in _open_files(pid) if sockets else ():
            if link in sockets:
                port = sockets.pop(link)
                held[str(port)] = {"pid": pid, "argv": list(argv(pid))[:3]}
    return held


def _open_files(pid: int) -> Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
