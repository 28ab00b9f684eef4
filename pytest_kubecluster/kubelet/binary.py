"""A real kubelet on this host: what it is, which machine it is for, and its version."""

from __future__ import annotations

import glob
import os
import platform
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.paths import readable_file
from pytest_kubecluster.util.process import capture

PLACE = "{version}"
_SECONDS = 20
_MACHINES = {
    0x03: "i686",
    0x15: "ppc64le",
    0x16: "s390x",
    0x28: "armv7l",
    0x3E: "x86_64",
    0xB7: "aarch64",
    0xF3: "riscv64",
}
"""The values of e_machine, by their names in ``uname -m``."""


@dataclass(frozen=True)
class KubeletBinary:
    """A kubelet's executable: ``kubelet``, or ``hyperkube``, which has it as a command."""

    path: Path
    name: str
    version: KubeVersion

    @property
    def hollow(self) -> bool:
        """True if its version identifies a hollow kubelet."""
        return self.version.build.endswith("hollow")

    def of(self, version: KubeVersion) -> KubeletBinary:
        """Return this kubelet if its version is ``version``, whatever the build.

        Raises KubeClusterError naming both versions if they differ.
        """
        if self.version.number != version.number:
            raise KubeClusterError(
                f"{self.path} is version {self.version.git_version}, but the spec is for "
                f"{version.git_version}; use --kube-hyperkube={self.version.tag} or another file"
            )
        return self


def path_for_version(path: Path, version: KubeVersion) -> Path:
    """Return a path with ``{version}`` replaced; a path without it is returned as it is.

    A version may be written as ``1.7.5``, ``v1.7.5``, ``1.7`` or ``v1.7``, with a build
    (``_coreos.1``) or without: the first for which a file exists counts. Raises KubeClusterError if
    there is none.
    """
    before, found, after = str(path).partition(PLACE)
    if not found:
        return path
    tags = [version.tag, version.git_version, version.number, version.minor_version]
    for text in dict.fromkeys(tag.removeprefix("v") for tag in tags):
        for spelling in (text, f"v{text}"):
            exact = Path(before + spelling + after.replace(PLACE, spelling))
            if exact.exists():
                return exact
            built = glob.glob(f"{glob.escape(before)}{spelling}[_+]*{glob.escape(after)}")
            if built:
                return Path(max(built))
    raise KubeClusterError(
        f"there is no kubelet {version.number} at {path}: looked for {version.number}, "
        f"v{version.number} and {version.minor_version}, each with and without a build"
    )


def inspect_kubelet(path: Path) -> KubeletBinary:
    """Look at the executable at ``path`` and ask it for its version.

    Raises KubeClusterError with the problem. Nothing but a file is opened, since a pipe
    or a device might never answer.
    """
    path = readable_file(path).resolve()
    if not os.access(path, os.X_OK):
        raise KubeClusterError(f"{path} is not executable; chmod +x it")
    check_architecture(path)
    about = output(path, "--help")
    name = "hyperkube" if "hyperkube" in about.lower() else "kubelet"
    words = ["kubelet", "--version"] if name == "hyperkube" else ["--version"]
    printed = output(path, *words)
    found = re.search(r"^Kubernetes (v\S+)$", printed, re.MULTILINE)
    if found is None:
        raise KubeClusterError(
            f"{path} is not a kubelet: {' '.join(words)} printed {printed[:80].strip()!r}"
        )
    try:
        return KubeletBinary(path, name, KubeVersion.parse(found[1]))
    except ValueError as error:
        raise KubeClusterError(f"{path}: {error}") from None


def elf_machine(path: Path) -> str | None:
    """Return the machine, as ``platform.machine()`` names it, that an executable is built for.

    Return None for a file that is not ELF, and ``ELF machine 22`` for an unknown machine. See
    elf(5).
    """
    with path.open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF" or len(header) < 20:
        return None
    order = "<" if header[5] == 1 else ">"
    number = struct.unpack_from(f"{order}H", header, 18)[0]
    return _MACHINES.get(number, f"ELF machine {number}")


def check_architecture(path: Path) -> None:
    """Raise KubeClusterError for an executable that is built for another machine."""
    built_for = elf_machine(path)
    # A file that is not ELF may be a script.
    if built_for not in (None, platform.machine()):
        raise KubeClusterError(
            f"{path} is built for {built_for}, and this machine is {platform.machine()}"
        )


def output(path: Path, *words: str) -> str:
    """Return what an executable prints for ``words``. Raises KubeClusterError."""
    # A hyperkube acts on the name it is called by; the file may be named hyperkube-v1.7.5.
    argv = ["hyperkube", *words]
    try:
        done = capture(argv, timeout=_SECONDS, executable=path)
    except KubeClusterError as error:
        raise KubeClusterError(f"{path} cannot be run: {error}") from None
    return done.stdout + done.stderr
