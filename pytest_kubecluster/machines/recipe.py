"""What nodes of ours are made of: Debian packages, from the host's own sources."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import capture
from pytest_kubecluster.util.resources import provisioning

Variant = Literal["plain", "docker"]
"""``docker`` nodes can run Docker, which a real kubelet needs; ``plain`` ones are half the size."""

_ASK_SECONDS = 60.0
_DISTRIBUTIONS = ("debian", "ubuntu")


def variant_for(*, real: bool) -> Variant:
    """Return the variant that nodes with real kubelets, or hollow ones, are made from."""
    return "docker" if real else "plain"


def package_list(variant: Variant) -> list[str]:
    """Return the Debian packages of a node."""
    recipe = provisioning() / "image"
    files = ["packages", "packages-docker"] if variant == "docker" else ["packages"]
    return sorted(name for file in files for name in read_packages(recipe / file))


def read_packages(path: Path) -> list[str]:
    """Return the packages that a file lists, one a line."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def distribution() -> str:
    """Return the distribution that nodes are made of: Debian, or the host's own Ubuntu."""
    return platform.freedesktop_os_release()["ID"] if _is_debian_like() else "debian"


def _is_debian_like() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") in _DISTRIBUTIONS
    except OSError:
        return False


def suite() -> str:
    """Return the release nodes are made of: the host's own, whose mirror is known to answer."""
    if _is_debian_like():
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    return "bookworm"


def package_sources() -> str:
    """Return the host's own package sources for its distribution, as apt has them configured."""
    distribution = platform.freedesktop_os_release()["ID"].capitalize()
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    argv += [f"Origin: {distribution}"]
    lines = set(capture(argv, timeout=_ASK_SECONDS).stdout.split("\n"))
    if not (sources := sorted(line for line in lines if line)):
        raise KubeClusterError(
            f"apt knows no package source of {distribution}; run apt-get update first"
        )
    return "\n".join(sources) + "\n"
