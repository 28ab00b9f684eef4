"""Writes tests/golden: what a master and a worker of each minor get. Look at what git says changed.

python -m tests.make_golden
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

from pytest_kubecluster.facts import MINORS
from pytest_kubecluster.pki import Pki
from pytest_kubecluster.render import render_node
from pytest_kubecluster.spec import DEFAULT_VERSION, ClusterSpec, cluster_spec
from pytest_kubecluster.version import KubeVersion

GOLDEN = Path(__file__).parent / "golden"
SEED_NETWORK = IPv4Network("172.17.5.0/24")
NODES = {"master": "master01", "worker": "worker01"}
NO_PKI = Pki(Path(), b"", b"", b"", b"")


def spec_of(minor: str) -> ClusterSpec:
    """Return the seed's cluster with a kubelet of ``minor``; for 1.7, with the seed's own."""
    version = KubeVersion.parse(minor)
    if minor == DEFAULT_VERSION.minor_version:
        version = DEFAULT_VERSION
    return cluster_spec(network=SEED_NETWORK, version=version)


def golden_files(minor: str) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each golden file of a minor."""
    spec = spec_of(minor)
    for role, node in NODES.items():
        rendered = render_node(spec, spec[node], NO_PKI)
        yield GOLDEN / minor / f"{role}.service", rendered["kubelet.service"]
        if "kubelet.yaml" in rendered:
            yield GOLDEN / minor / f"{role}.yaml", rendered["kubelet.yaml"]


if __name__ == "__main__":
    for minor in MINORS:
        for path, content in golden_files(minor):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
