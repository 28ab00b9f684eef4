"""The defaults of a cluster. They are cheap to import: every start of pytest reads them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal

from pytest_kubecluster.spec.version import KubeVersion

LayoutName = Literal["classic", "kubeadm", "hardened", "found"]
"""``found`` states only what the user stated; the others are bundled and state all they render."""

BUNDLED_LAYOUTS: tuple[LayoutName, ...] = ("classic", "kubeadm", "hardened")
"""The layouts that the bundled playbook makes; the first is the default."""

DEFAULT_NETWORK = IPv4Network("10.17.5.0/24")
"""Apart from the article's 172.17.5.0/24, which lies inside Docker's default bridge."""

DEFAULT_VERSION = KubeVersion.parse("v1.7.5_coreos.1")
