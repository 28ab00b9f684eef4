from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cryptography import x509

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.layouts.hardened import MEASURES, OLDEST
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.specfile import read_spec_file
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.version import KubeVersion

HARDENED = [minor for minor in MINORS if KubeVersion.parse(minor).minor >= OLDEST]


def cluster(version: str = "1.30.0") -> ClusterSpec:
    return cluster_spec(1, 1, version=KubeVersion.parse(version), layout="hardened")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("version", ["1.7.5", "1.9.8"])
def test_version_that_cannot_be_hardened(version: str) -> None:
    with pytest.raises(SpecError, match=rf"needs kubelet 1.10 or newer, not {version}"):
        cluster(version)


@pytest.mark.parametrize("minor", HARDENED)
def test_every_minor_can_be_specified(minor: str) -> None:
    spec = cluster(minor)
    spec.check()
    settings = statements_of(spec["worker01"]).settings
    assert settings["authorization.mode"].value == "Webhook"
    assert settings["authentication.webhook.enabled"].value is True
    assert settings["tlsCertFile"].value == "/etc/kubernetes/pki/kubelet.crt"
    assert settings["readOnlyPort"].value == 0


def test_each_measure_has_its_reason_and_source() -> None:
    assert all(reason and source for *_, reason, source in MEASURES)
    for minor in HARDENED:
        kubelet = cluster(minor)["worker01"].kubelet
        stated = {change.what for change in kubelet.changes}
        assert all(f"--{name} set" in stated for name, _ in kubelet.extra_settings)


def test_the_ca_key_is_on_no_node() -> None:
    for node in cluster():
        assert [one.path for one in statements_of(node).files if one.absent] == [
            "/etc/kubernetes/ca.key"
        ]
        assert "ca.key" not in {file.name for file in node.kubelet.files}


def test_serving_certificate_is_for_the_nodes_name_and_address(pki: Pki) -> None:
    spec = cluster()
    files = render_node(spec, spec["worker01"], pki)
    certificate = x509.load_pem_x509_certificate(files["kubelet.crt"])
    certificate.verify_directly_issued_by(pki.authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker01"]
    assert names.get_values_for_type(x509.IPAddress) == [spec["worker01"].address]


def test_kubeconfig_names_the_file_that_the_kubelet_rotates(pki: Pki) -> None:
    spec = cluster()
    files = render_node(spec, spec["worker01"], pki)
    user = yaml.safe_load(files["kubeconfig"])["users"][0]["user"]
    path = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    assert user == {"client-certificate": path, "client-key": path}
    subject = x509.load_pem_x509_certificate(files["kubelet-client.pem"]).subject
    assert subject.rfc4514_string() == "CN=system:node:worker01,O=system:nodes"


@pytest.mark.parametrize(("version", "protects"), [("1.24.17", True), ("1.25.0", False)])
def test_kernel_settings_come_before_a_kubelet_that_protects_them(
    version: str, protects: bool, pki: Pki
) -> None:
    spec = cluster(version)
    files = render_node(spec, spec["worker01"], pki)
    assert ("90-kubelet.conf" in files) is protects
    assert (b"systemd-sysctl /etc/sysctl.d/90-kubelet.conf" in files["kubelet.service"]) is protects


@pytest.mark.parametrize(
    ("version", "denies"), [("1.28.0", False), ("1.30.0", True), ("1.32.0", False)]
)
def test_unit_limits_addresses_where_the_benchmark_asks_for_it(
    version: str, denies: bool, pki: Pki
) -> None:
    spec = cluster(version)
    unit = render_node(spec, spec["worker01"], pki)["kubelet.service"]
    assert (b"IPAddressDeny=any\n" in unit) is denies


def test_a_users_settings_win() -> None:
    document = {"kubelet": {"settings": {"authorization": {"mode": "AlwaysAllow"}, "event-qps": 7}}}
    *_, (_, spec) = read_spec_file(Path("kubecluster.toml"), document).steps(cluster())
    kubelet = spec["worker01"].kubelet
    assert kubelet.configuration["authorization"]["mode"] == "AlwaysAllow"
    assert kubelet.configuration["eventRecordQPS"] == 7
    assert kubelet.configuration["readOnlyPort"] == 0
