"""What a cluster begins with, and what several servers make of it."""

from __future__ import annotations

import pytest

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import JANE, Cluster


def test_several_servers_are_the_endpoints_of_the_api(boot: Boot) -> None:
    boot(20)
    boot(20, "--advertise-address=192.0.2.2")
    cluster = boot(20)
    body = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes").body
    assert [one["ip"] for one in body["subsets"][0]["addresses"]] == ["192.0.2.1", "192.0.2.2"]


def test_a_second_start_changes_nothing(boot: Boot) -> None:
    before = boot(20).etcd.revision
    assert boot(20).etcd.revision == before


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (12, ["default", "kube-public", "kube-system"]),
        (13, ["default", "kube-node-lease", "kube-public", "kube-system"]),
    ],
)
def test_namespaces(boot: Boot, number: int, names: list[str]) -> None:
    items = boot(number).get("/api/v1/namespaces").body["items"]
    assert [one["metadata"]["name"] for one in items] == names


def test_the_service_of_the_api_has_the_first_address(cluster: Cluster) -> None:
    service = cluster.get("/api/v1/namespaces/default/services/kubernetes").body
    assert service["spec"]["clusterIP"] == "10.0.0.1"


def test_what_a_user_may_do_is_listed(cluster: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = cluster.post(path, {"spec": {"namespace": "default"}}, JANE).body["status"]
    assert any("/version" in one["nonResourceURLs"] for one in status["nonResourceRules"])
    assert any("selfsubjectaccessreviews" in one["resources"] for one in status["resourceRules"])
