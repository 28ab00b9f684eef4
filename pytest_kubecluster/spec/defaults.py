"""The defaults of a cluster. They are cheap to import: every start of pytest reads them."""

from __future__ import annotations

from ipaddress import IPv4Network

from pytest_kubecluster.spec.version import KubeVersion

DEFAULT_NETWORK = IPv4Network("10.17.5.0/24")
"""Apart from the article's 172.17.5.0/24, which lies inside Docker's default bridge."""

DEFAULT_VERSION = KubeVersion.parse("v1.7.5_coreos.1")
