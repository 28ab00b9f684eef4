"""A real kubelet on this host: is it one, for this machine, and of which version?"""

from __future__ import annotations

import glob
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.elf import elf_machine
from pytest_kubecluster.spec.version import KubeVersion

PLACE = "{version}"
_SECONDS = 20


@dataclass(frozen=True)
class KubeletBinary:
    """A kubelet's executable: a ``hyperkube``, which is told to be a kubelet, or a ``kubelet``."""

    path: Path
    name: str
    version: KubeVersion

    @property
    def hollow(self) -> bool:
        """Whether it is a stand-in after all, and says so."""
        return self.version.build.endswith("hollow")

    def of(self, version: KubeVersion) -> KubeletBinary:
        """Return this kubelet, if it is of ``version``, whatever the build.

        Raises KubeClusterError naming both where it is of another.
        """
        if self.version.number != version.number:
            raise KubeClusterError(
                f"{self.path} is version {self.version.git_version}, but the spec is for "
                f"{version.git_version}; say --kube-hyperkube {self.version.tag} or give another "
                "file"
            )
        return self


def path_for_version(path: Path, version: KubeVersion) -> Path:
    """Return a path with its ``{version}`` filled in; as it is if it has none.

    Of the ways to write a version (``1.7.5``, ``v1.7.5``, ``1.7``, ``v1.7``), the first counts for
    which there is a file, with a build (``_coreos.1``) or without. Raises KubeClusterError if there
    is none.
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
        f"there is no kubelet {version.number} at {path}, neither as {version.number} nor as "
        f"v{version.number}, {version.minor_version} or with a build behind it"
    )


def inspect_kubelet(path: Path) -> KubeletBinary:
    """Look at the executable at ``path`` and ask it for its version.

    Raises KubeClusterError saying which of all that could be wrong is.
    """
    path = path.resolve()
    if not path.exists():
        raise KubeClusterError(f"{path} does not exist")
    if not path.is_file():
        raise KubeClusterError(f"{path} is no file; give the hyperkube or kubelet itself")
    if not os.access(path, os.X_OK):
        raise KubeClusterError(f"{path} is not executable; chmod +x it")
    _check_architecture(path)
    about = _output(path, "--help")
    name = "hyperkube" if "hyperkube" in about.lower() else "kubelet"
    words = ["kubelet", "--version"] if name == "hyperkube" else ["--version"]
    printed = _output(path, *words)
    found = re.search(r"^Kubernetes (v\S+)$", printed, re.MULTILINE)
    if found is None:
        raise KubeClusterError(
            f"{path} is no kubelet: asked for its version it printed {printed[:80].strip()!r}"
        )
    try:
        return KubeletBinary(path, name, KubeVersion.parse(found[1]))
    except ValueError as error:
        raise KubeClusterError(f"{path}: {error}") from None


def _check_architecture(path: Path) -> None:
    built_for = elf_machine(path)
    # What is no ELF may be a script: running it tells.
    if built_for not in (None, platform.machine()):
        raise KubeClusterError(
            f"{path} is built for {built_for}, and this machine is {platform.machine()}"
        )


def _output(path: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            # hyperkube goes by the name it is called by; a file may be named hyperkube-v1.7.5.
            ["hyperkube", *words],
            executable=path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KubeClusterError(f"{path} cannot be run: {error}") from None
    return done.stdout.decode(errors="replace")
