"""Joining with a token, and renewing the certificate: against a hollow API server."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hollow_common.errors import Failure
from hollow_common.facts import FACTS
from hollow_common.facts import play as play_facts
from hollow_common.tls import Client
from hollow_kubelet import bootstrap, client_certificate, rotation
from hollow_kubelet.api_server import ApiError
from hollow_kubelet.bootstrap import Bootstrap
from hollow_kubelet.client_certificate import Pair, Store, digested_name, new_key, split, validity
from hollow_kubelet.kubeconfig import client_config
from hollow_kubelet.rotation import Rotation, deadline

from pytest_kubecluster.artifacts.bootstrap import joined_kubeconfig
from pytest_kubecluster.artifacts.go_yaml import go_yaml
from pytest_kubecluster.kubelet.hollow import hollow_facts
from pytest_kubecluster.kubelet.hollow_apiserver import hollow_apiserver_facts
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.hollow_apiserver.fake_etcd import FakeEtcd
from tests.unit.hollow_apiserver.support import SECRETS, SIGNING, TOKEN, Cluster, token_secret
from tests.unit.kubelet.hollow.support import Pki, version_of


class Api:
    """A connection to a hollow API server in this process."""

    def __init__(self, cluster: Cluster, client: Client, token: str) -> None:
        self.cluster, self.client, self.token = cluster, client, token
        self.used: Any = None

    def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        got = self.cluster.ask(
            method, path, body, self.client, f"application/{kind}", token=self.token
        )
        if got.status >= 400:
            raise ApiError(got.body["message"], got.status)
        return got.body

    def use(self, certificate: bytes, key: bytes) -> None:
        self.used = certificate, key


@pytest.fixture
def cluster(pki: Pki) -> Iterator[Cluster]:
    before = dict(FACTS)
    # The two programs are in one process here: each reads its flags by its own facts.
    play_facts(hollow_apiserver_facts(version_of(20)))
    etcd = FakeEtcd()
    cluster = Cluster(
        etcd,
        f"--cluster-signing-cert-file={pki.ca.crt}",
        f"--cluster-signing-key-file={pki.ca.key}",
    )
    play_facts(hollow_facts(version_of(20)))
    cluster.post(SECRETS, token_secret())
    yield cluster
    cluster.server.etcd.close()
    etcd.stop()
    play_facts(before)


@pytest.fixture
def joining(
    cluster: Cluster, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bootstrap:
    path = tmp_path / "bootstrap"
    path.write_text(
        "clusters: [{name: a, cluster: {server: 'https://192.0.2.1', "
        f"certificate-authority: {pki.ca.crt}}}}}]\n"
        f"users: [{{name: a, user: {{token: {TOKEN}}}}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"
    )
    monkeypatch.setattr(bootstrap, "ApiServer", lambda config: Api(cluster, Client(), config.token))
    kubeconfig = tmp_path / "etc" / "kubeconfig"
    return Bootstrap(str(kubeconfig), str(path), str(tmp_path / "pki"), "node1")


def test_a_node_joins(joining: Bootstrap, cluster: Cluster) -> None:
    assert joining.needed()
    joining.join()
    config = client_config(joining.kubeconfig)
    assert config.server == "https://192.0.2.1"
    issued = x509.load_pem_x509_certificate(config.certificate)
    assert issued.subject.rfc4514_string() == "CN=system:node:node1,O=system:nodes"
    assert config.token == ""
    assert TOKEN not in Path(joining.kubeconfig).read_text()
    folder = Path(joining.folder)
    current = folder / "kubelet-client-current.pem"
    assert re.fullmatch(r"kubelet-client-\d{4}(-\d\d){5}\.pem", Path(os.readlink(current)).name)
    assert stat.S_IMODE(current.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(joining.kubeconfig).stat().st_mode) == 0o600
    assert not (folder / "kubelet-client.key.tmp").exists()
    assert not joining.needed(), "it has joined"
    names = [one["metadata"]["name"] for one in cluster.get(SIGNING).body["items"]]
    assert [name.startswith("node-csr-") for name in names] == [True]


@pytest.mark.parametrize("minor", [11, 33, 34])
def test_the_kubeconfig_is_what_the_spec_expects(
    joining: Bootstrap, pki: Pki, monkeypatch: pytest.MonkeyPatch, minor: int
) -> None:
    version = KubeVersion(1, minor, 0)
    spec = cluster_spec(1, 1, version=version, layout="kubeadm").with_api_server(
        "https://192.0.2.1"
    )
    wanted = joined_kubeconfig(spec, spec["worker01"], pki.ca.crt.read_bytes())
    monkeypatch.setattr(joining.store, "current", CERTIFICATE)
    before = dict(FACTS)
    play_facts(hollow_facts(version))
    try:
        joining.write_kubeconfig(joining.load())
    finally:
        play_facts(before)
    assert Path(joining.kubeconfig).read_bytes() == go_yaml(wanted)


def test_a_kubelet_of_1_10_keeps_its_first_certificate_in_two_files(
    joining: Bootstrap, cluster: Cluster
) -> None:
    """As the real one of 1.10.5 did."""
    play_facts(hollow_facts(version_of(10)))
    joining.join()
    folder = Path(joining.folder)
    assert sorted(one.name for one in folder.iterdir()) == [
        "kubelet-client.crt",
        "kubelet-client.key",
    ]
    assert stat.S_IMODE((folder / "kubelet-client.key").stat().st_mode) == 0o600
    text = Path(joining.kubeconfig).read_text()
    assert f"client-certificate: {folder}/kubelet-client.crt\n" in text
    assert f"client-key: {folder}/kubelet-client.key\n" in text
    assert not joining.needed(), "it has joined"


def test_a_key_is_kept_until_it_is_certified(
    joining: Bootstrap, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.ask("DELETE", f"{SECRETS}/bootstrap-token-abcdef")
    monkeypatch.setattr(bootstrap, "WAIT_SECONDS", 0.0)
    for _ in range(2):
        with pytest.raises(
            Failure, match=r"^cannot create certificate signing request: Unauthorized$"
        ):
            joining.join()
    key = joining.key()[0]
    cluster.post(SECRETS, token_secret())
    joining.join()
    kept = joining.store.load()
    assert kept
    assert kept.key == key


def test_a_kubeconfig_whose_certificate_expired_is_made_again(
    joining: Bootstrap, pki: Pki, log_lines: Callable[[], str]
) -> None:
    joining.join()
    Path(joining.store.current).write_bytes(
        pki.expired.crt.read_bytes() + pki.expired.key.read_bytes()
    )
    assert joining.needed()
    assert "part of the existing bootstrap client certificate in " in log_lines()
    Path(joining.store.current).unlink()
    assert joining.needed()
    assert "unable to read existing bootstrap client config" in log_lines()


def test_a_kubelet_that_rotates_joins_and_renews(joining: Bootstrap, cluster: Cluster) -> None:
    first = joining.first()
    api: Any = Api(cluster, Client("system:node:node1", ("system:nodes",)), "")
    renewal = Rotation(api, joining.store, "node1", first.certificate)
    renewal.renew()
    assert api.used[0] == renewal.certificate != first.certificate
    current = joining.store.load()
    assert current
    assert current.certificate == renewal.certificate
    requestors = [one["spec"]["username"] for one in cluster.get(SIGNING).body["items"]]
    assert sorted(requestors) == ["system:bootstrap:abcdef", "system:node:node1"]


def test_a_renewal_is_tried_until_it_works(
    joining: Bootstrap,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: Callable[[], str],
) -> None:
    first = joining.first()
    api: Any = Api(cluster, Client(), "")
    monkeypatch.setattr(
        rotation.time, "sleep",  # type: ignore[attr-defined]
        lambda _: setattr(api, "client", Client("system:node:node1", ("system:nodes",))),
    )  # fmt: skip
    Rotation(api, joining.store, "node1", first.certificate).renew()
    assert "Failed while requesting a signed certificate from the master" in log_lines()
    assert api.used


def test_when_a_certificate_is_renewed(pki: Pki) -> None:
    certificate = pki.client.crt.read_bytes()
    start, end = validity(certificate)
    for _ in range(5):
        assert 0.7 <= (deadline(certificate) - start) / (end - start) <= 0.9


def test_a_request_that_is_denied() -> None:
    condition = {"type": "Denied", "reason": "No", "message": "never"}
    api: Any = None
    with pytest.raises(Failure, match=r"^certificate signing request is not approved, reason: No"):
        client_certificate.wait_for(api, "", {"status": {"conditions": [condition]}})


def test_the_name_of_a_request_follows_from_the_key() -> None:
    key = new_key()
    assert digested_name(key, "node1") == digested_name(key, "node1")
    assert digested_name(key, "node1") != digested_name(key, "node2")
    assert digested_name(key, "node1") != digested_name(new_key(), "node1")
    assert re.fullmatch(r"node-csr-[A-Za-z0-9_-]{43}", digested_name(key, "node1"))


def test_certificates_and_keys_in_one_file(tmp_path: Path, pki: Pki) -> None:
    certificate, key = pki.client.crt.read_bytes(), pki.client.key.read_bytes()
    store = Store(str(tmp_path))
    assert store.load() is None
    store.update(Pair(certificate, key))
    store.update(Pair(certificate, key))
    assert store.load() == split(certificate + key)
    assert split(certificate) is None
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match=r"^could not write "):
        Store(str(tmp_path / "file" / "below")).update(Pair(certificate, key))
