"""The fixtures. All have session scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.plugin.session import SESSION

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from pytest_kubecluster.artifacts.pki import Pki
    from pytest_kubecluster.cluster.cluster import Cluster
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.spec.model import ClusterSpec


@pytest.fixture(scope="session")
def kube_spec(pytestconfig: pytest.Config) -> ClusterSpec:
    """The spec of the cluster: ``kube_spec["worker01"].kubelet.flags``. Needs no machine."""
    return pytestconfig.stash[SESSION].spec


@pytest.fixture(scope="session")
def kube_pki(pytestconfig: pytest.Config) -> Pki:
    """The CA, which issues any other, and the kubelet's certificate. Needs no machine."""
    return pytestconfig.stash[SESSION].pki()


@pytest.fixture(scope="session")
def kube_files(kube_spec: ClusterSpec, kube_pki: Pki) -> Mapping[str, Mapping[str, bytes]]:
    """The rendered files: ``kube_files["worker01"]["kubelet.service"]``. Needs no machine."""
    from pytest_kubecluster.artifacts.render import render_node
    from pytest_kubecluster.spec.names import Named

    rendered = {
        node.name: Named("file", render_node(kube_spec, node, kube_pki)) for node in kube_spec
    }
    return Named("node", rendered)


@pytest.fixture(scope="session")
def kube_nodes(pytestconfig: pytest.Config) -> tuple[Node, ...]:
    """All nodes, masters first."""
    return pytestconfig.stash[SESSION].nodes()


@pytest.fixture(scope="session")
def kube_masters(kube_nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """All masters."""
    return tuple(node for node in kube_nodes if node.spec.is_master)


@pytest.fixture(scope="session")
def kube_workers(kube_nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """All workers."""
    return tuple(node for node in kube_nodes if not node.spec.is_master)


@pytest.fixture(scope="session")
def kube_cluster(pytestconfig: pytest.Config, kube_nodes: tuple[Node, ...]) -> Cluster:
    """The cluster: ``kube_cluster.provision()`` runs the playbook again.

    A test that uses it is skipped in a worker of pytest-xdist.
    """
    cluster = pytestconfig.stash[SESSION].cluster
    if cluster is None:
        pytest.skip("kube_cluster belongs to the controller; use kube_nodes in xdist workers")
    return cluster


@pytest.fixture(scope="session")
def kube_api(kube_nodes: tuple[Node, ...]) -> ApiClient:
    """A client of the official library for the cluster's API server.

    ``kubernetes.client.CoreV1Api(kube_api).list_node()``. A test that uses it is skipped where
    there is no API server to ask.
    """
    api = kube_nodes[0].api
    if api is None:
        pytest.skip("needs an API server: run with --kube-control-plane or --kube-kubeconfig")
    return api.client


def _by_name(request: pytest.FixtureRequest, nodes: tuple[Node, ...]) -> Node:
    return next(node for node in nodes if node.name == request.param)


@pytest.fixture(scope="session")
def kube_node(request: pytest.FixtureRequest, kube_nodes: tuple[Node, ...]) -> Node:
    """Each node: a test that uses it becomes one item for each node."""
    return _by_name(request, kube_nodes)


@pytest.fixture(scope="session")
def kube_master(request: pytest.FixtureRequest, kube_nodes: tuple[Node, ...]) -> Node:
    """Each master: a test that uses it becomes one item for each master."""
    return _by_name(request, kube_nodes)


@pytest.fixture(scope="session")
def kube_worker(request: pytest.FixtureRequest, kube_nodes: tuple[Node, ...]) -> Node:
    """Each worker: a test that uses it becomes one item for each worker."""
    return _by_name(request, kube_nodes)
