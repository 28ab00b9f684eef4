from __future__ import annotations

import json

import pytest

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import Cluster


def test_the_version_never_pretends(boot: Boot) -> None:
    for number in (7, 20, 36):
        info = boot(number).get("/version").body
        assert info["gitVersion"] == f"v1.{number}.2+hollow"
        assert (info["major"], info["minor"]) == ("1", f"{number}+")


def test_groups_and_resources(cluster: Cluster) -> None:
    assert cluster.get("/api").body["versions"] == ["v1"]
    groups = {one["name"]: one for one in cluster.get("/apis").body["groups"]}
    assert groups["certificates.k8s.io"]["preferredVersion"]["version"] == "v1"
    assert cluster.get("/apis/certificates.k8s.io").body["kind"] == "APIGroup"
    listed = cluster.get("/api/v1").body["resources"]
    found = {one["name"]: one for one in listed}
    assert found["nodes"]["shortNames"] == ["no"]
    assert {"nodes/status", "nodes/proxy", "pods/eviction", "namespaces/status"} < set(found)
    assert found["pods/eviction"]["group"] == "policy"


@pytest.mark.parametrize("number", [7, 8, 13, 20, 22, 36])
def test_every_resource_it_tells_of_answers(boot: Boot, number: int) -> None:
    cluster = boot(number)
    roots = ["/api/v1"]
    for group in cluster.get("/apis").body["groups"]:
        roots += [f"/apis/{one['groupVersion']}" for one in group["versions"]]
    for root in roots:
        for one in cluster.get(root).body["resources"]:
            if "list" in one["verbs"]:
                got = cluster.get(f"{root}/{one['name']}")
                assert (got.status, got.body["kind"]) == (200, f"{one['kind']}List")


def test_the_schema(boot: Boot) -> None:
    cluster = boot(20)
    paths = cluster.get("/openapi/v2").body["paths"]
    patch = paths["/api/v1/nodes/{name}"]["patch"]
    assert patch["parameters"][0]["name"] == "dryRun"
    proto = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    data = cluster.get("/openapi/v2", accept=proto).body
    assert data.startswith(b"\x0a\x032.0")
    assert b"x-kubernetes-group-version-kind" in data
    assert json.dumps("CertificateSigningRequest").encode() in data


def test_paths_that_are_not_there(cluster: Cluster) -> None:
    got = cluster.get("/nope")
    assert (got.status, got.body) == (404, b"404 page not found\n")


def test_health_in_detail(cluster: Cluster) -> None:
    text = cluster.get("/readyz?verbose").body.decode()
    assert "[+]etcd ok\n" in text
    assert text.endswith("readyz check passed\n")
