"""The recipe of bundled nodes: Debian packages, from the host's own package sources."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import capture
from pytest_kubecluster.util.resources import provisioning

Variant = Literal["plain", "docker"]
"""``docker`` nodes can run Docker, for a real kubelet; ``plain`` ones are half the size."""

_ASK_SECONDS = 60.0
_DISTRIBUTIONS = ("debian", "ubuntu")


def variant_for(*, real: bool) -> Variant:
    """Return the variant for nodes with real or with hollow kubelets."""
    return "docker" if real else "plain"


def package_list(variant: Variant) -> list[str]:
    """Return the Debian packages of a node."""
    recipe = provisioning() / "image"
    files = ["packages", "packages-docker"] if variant == "docker" else ["packages"]
    return sorted(name for file in files for name in read_packages(recipe / file))


def read_packages(path: Path) -> list[str]:
    """Return the packages that a file lists, one per line."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def distribution() -> str:
    """Return the distribution of the nodes: Debian, or Ubuntu if the host runs it."""
    return platform.freedesktop_os_release()["ID"] if _is_debian_like() else "debian"


def _is_debian_like() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") in _DISTRIBUTIONS
    except OSError:
        return False


def suite() -> str:
    """Return the release of the nodes: the host's own, whose package mirror is known to work."""
    if _is_debian_like():
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    return "bookworm"


def package_sources() -> str:
    """Return the package sources of the host's distribution, as apt has them configured."""
    distribution = platform.freedesktop_os_release()["ID"].capitalize()
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    argv += [f"Origin: {distribution}"]
    lines = set(capture(argv, timeout=_ASK_SECONDS).stdout.split("\n"))
    if not (sources := sorted(line for line in lines if line)):
        raise KubeClusterError(
            f"apt has no package source of {distribution}; run apt-get update first"
        )
    return "\n".join(sources) + "\n"
