"""Certificate signing requests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import (
    JANE,
    NOBODY,
    NODE1,
    NODE2,
    SECRETS,
    SIGNING,
    TOKEN,
    Cluster,
    signing_request,
    token_secret,
)
from tests.unit.kubelet.hollow.support import Pki, make_pki

CLIENT = ["digital signature", "key encipherment", "client auth"]
SUBJECT = "/O=system:nodes/CN=system:node:node1"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def signing(boot: Boot, pki: Pki) -> Cluster:
    return boot(
        20, f"--cluster-signing-cert-file={pki.ca.crt}", f"--cluster-signing-key-file={pki.ca.key}"
    )


def body(pem: bytes, **spec: Any) -> dict[str, Any]:
    fields = {"request": base64.b64encode(pem).decode(), "usages": CLIENT, "signerName": KUBELET}
    return {"metadata": {"generateName": "csr-"}, "spec": {**fields, **spec}}


def certificate(request: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(request["status"]["certificate"]))


def test_a_bootstrapper_gets_a_nodes_certificate_at_once(
    signing: Cluster, pki: Pki, tmp_path: Path
) -> None:
    signing.post(SECRETS, token_secret())
    pem = signing_request(tmp_path, SUBJECT)
    made = signing.post(SIGNING, body(pem), NOBODY, token=TOKEN).body
    assert made["spec"]["username"] == "system:bootstrap:abcdef"
    assert [one["type"] for one in made["status"]["conditions"]] == ["Approved"]
    issued = certificate(made)
    assert issued.subject.rfc4514_string() == "CN=system:node:node1,O=system:nodes"
    authority = x509.load_pem_x509_certificate(pki.ca.crt.read_bytes())
    issued.verify_directly_issued_by(authority)
    uses = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_valid_after_utc <= authority.not_valid_after_utc


def test_a_node_renews_its_own_certificate_alone(signing: Cluster, tmp_path: Path) -> None:
    pem = signing_request(tmp_path, SUBJECT)
    assert "certificate" in signing.post(SIGNING, body(pem), NODE1).body["status"]
    assert signing.post(SIGNING, body(pem), NODE2).body["status"] == {}


@pytest.mark.parametrize(
    ("subject", "extra", "usages"),
    [
        ("/O=system:masters/CN=system:node:node1", "", CLIENT),
        ("/O=system:nodes/CN=node1", "", CLIENT),
        (SUBJECT, "DNS:node1", CLIENT),
        (SUBJECT, "", ["digital signature", "server auth"]),
    ],
)
def test_other_requests_wait_for_an_approval(
    signing: Cluster, tmp_path: Path, subject: str, extra: str, usages: list[str]
) -> None:
    pem = signing_request(tmp_path, subject, extra)
    made = signing.post(SIGNING, body(pem, usages=usages), NODE1).body
    assert made["status"] == {}


def test_an_approval_signs(signing: Cluster, tmp_path: Path) -> None:
    pem = signing_request(tmp_path, SUBJECT, "DNS:node1,IP:192.0.2.1")
    serving = ["digital signature", "key encipherment", "server auth"]
    made = signing.post(
        SIGNING, body(pem, usages=serving, signerName="kubernetes.io/kubelet-serving")
    ).body
    path = f"{SIGNING}/{made['metadata']['name']}"
    approval = {"type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "ok"}
    made["status"]["conditions"] = [approval]
    assert signing.ask("PUT", f"{path}/approval", made, JANE).status == 403
    issued = certificate(signing.ask("PUT", f"{path}/approval", made).body)
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]


def test_a_denied_request_is_not_signed(signing: Cluster, tmp_path: Path) -> None:
    pem = signing_request(tmp_path, "/CN=jane")
    made = signing.post(SIGNING, body(pem, signerName="kubernetes.io/kube-apiserver-client")).body
    made["status"]["conditions"] = [{"type": "Denied", "status": "True"}]
    path = f"{SIGNING}/{made['metadata']['name']}/approval"
    assert "certificate" not in signing.ask("PUT", path, made).body["status"]


def test_how_long_a_certificate_is_valid(signing: Cluster, tmp_path: Path) -> None:
    pem = signing_request(tmp_path, SUBJECT)
    issued = certificate(signing.post(SIGNING, body(pem, expirationSeconds=600), NODE1).body)
    seconds = (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds()
    assert seconds == pytest.approx(600 + 300, abs=2), "backdated by five minutes"


def test_without_an_authority_nothing_is_signed(cluster: Cluster, tmp_path: Path) -> None:
    made = cluster.post(SIGNING, body(signing_request(tmp_path, SUBJECT)), NODE1).body
    assert [one["type"] for one in made["status"]["conditions"]] == ["Approved"]
    assert "certificate" not in made["status"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"request": "AAAA"}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"usages": []}, "usages is required"),
        ({"signerName": ""}, "spec.signerName: Required value"),
    ],
)
def test_requests_that_are_refused(
    cluster: Cluster, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    status, answer = cluster.post(SIGNING, body(signing_request(tmp_path, SUBJECT), **change))
    assert status == 422
    assert problem in answer["message"]


def test_an_old_request_gets_its_signer(boot: Boot, tmp_path: Path) -> None:
    old = "/apis/certificates.k8s.io/v1beta1/certificatesigningrequests"
    given = body(signing_request(tmp_path, SUBJECT))
    del given["spec"]["signerName"]
    assert boot(18).post(old, given, NODE1).body["spec"]["signerName"] == KUBELET


def test_a_client_cannot_say_who_it_is(signing: Cluster, tmp_path: Path) -> None:
    given = body(signing_request(tmp_path, SUBJECT), username="root", groups=["system:masters"])
    made = signing.post(SIGNING, given, NODE1).body
    assert made["spec"]["username"] == "system:node:node1"
    assert "system:masters" not in made["spec"]["groups"]
