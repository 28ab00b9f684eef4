"""What is made of one look at a node."""

from __future__ import annotations

import base64
import importlib.util
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.nodes.observation import KubeletView
from pytest_kubecluster.spec.model import cluster_spec
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.resources import provisioning

REAL_1_7 = """\
2026-11-23 15:31:40.284384 I | proto: duplicate proto type registered: google.protobuf.Any
2026-11-23 15:31:40.284441 I | proto: duplicate proto type registered: google.protobuf.Duration
2026-11-23 15:31:40.284449 I | proto: duplicate proto type registered: google.protobuf.Timestamp
Kubernetes v1.7.5+coreos.1"""


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (REAL_1_7, "1.7.5"),
        ("Kubernetes v1.30.1", "1.30.1"),
        ("Kubernetes v1.24.17+hollow", "1.24.17"),
        ("bash: /opt/bin/kubelet: Permission denied", None),
        ("", None),
    ],
)
def test_version_is_what_the_program_says(said: str, version: str | None) -> None:
    view = KubeletView(cluster_spec()["master01"].kubelet, {"version": said}, {})
    assert view.version == (version and KubeVersion.parse(version))


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        (["--node-ip=10.0.0.1"], IPv4Address("10.0.0.1")),
        (["--node-ip=fd00::1"], None),
        (["--node-ip=10.0.0.1,fd00::1"], None),
        ([], None),
    ],
)
def test_node_ip_of_another_family_is_none_of_ours(flags: list[str], address: Any) -> None:
    seen = {"argv": ["/usr/bin/kubelet", *flags], "version": "Kubernetes v1.30.0", "files": {}}
    assert KubeletView(cluster_spec().nodes[0].kubelet, seen, {}).node_ip == address


def test_kubeconfig_that_names_files_is_seen_with_what_is_in_them(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("probe", provisioning() / "probe.py")
    assert spec is not None
    assert spec.loader is not None
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    certificate, key = (
        f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n"
        for kind in ("CERTIFICATE", "EC PRIVATE KEY")
    )
    (tmp_path / "both.pem").write_text(certificate + key)
    lines = [
        "    certificate-authority: none.pem",
        f'    client-certificate: "{tmp_path}/both.pem"',
        "    client-key: both.pem",
        "    client-key-data: AAAA",
    ]
    seen = probe.whole("\n".join(lines), str(tmp_path)).splitlines()
    assert (seen[0], seen[3]) == (lines[0], lines[3])
    assert seen[1:3] == [
        f"    {name}-data: {base64.b64encode(text.encode()).decode()}"
        for name, text in (("client-certificate", certificate), ("client-key", key))
    ]
