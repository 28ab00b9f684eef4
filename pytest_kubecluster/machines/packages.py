"""How a missing program is installed on this host: from which package, and from where."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import capture

_SECONDS = 20
_LISTS = Path("/var/lib/apt/lists")

HASHICORP = """\
wget -qO- https://apt.releases.hashicorp.com/gpg | sudo gpg --dearmor -o /usr/share/keyrings/hashicorp.gpg
. /etc/os-release && echo "deb [signed-by=/usr/share/keyrings/hashicorp.gpg] https://apt.releases.hashicorp.com \
$VERSION_CODENAME main" | sudo tee /etc/apt/sources.list.d/hashicorp.list
sudo apt-get update && sudo apt-get install vagrant"""  # noqa: E501 - commands to copy
"""HashiCorp's own way for Debian and Ubuntu (https://developer.hashicorp.com/vagrant/install)."""
_ELSEWHERE = {"vagrant": "https://developer.hashicorp.com/vagrant/install"}


def way_to_install(package: str) -> str:
    """Return what brings a Debian package's program to this host, as the end of a sentence.

    Ubuntu has no Vagrant from 24.04 on, for its licence: apt is asked, and where it has none, the
    way is HashiCorp's package repository.
    """
    if shutil.which("apt-get") is None:
        return f"install it: {_ELSEWHERE.get(package, f'the package {package}, or its like')}"
    if not any(_LISTS.glob("*Packages*")):
        return f"install it with: apt-get update && apt-get install {package}"
    if package != "vagrant" or _is_offered(package):
        return f"install it with: apt-get install {package}"
    return f"this system's archive has none; install it from HashiCorp's:\n{HASHICORP}"


def _is_offered(package: str) -> bool:
    """Return whether apt has a version of a package to install."""
    try:
        shown = capture(["apt-cache", "policy", package], timeout=_SECONDS).stdout
    except KubeClusterError:
        return True
    return re.search(r"^ *Candidate: *[^( ]", shown, re.MULTILINE) is not None
