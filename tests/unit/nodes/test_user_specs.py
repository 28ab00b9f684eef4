"""Spec files as users write them, each with the node that it describes."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.nodes.pin import beside_the_article, document_of, pinned, spec_from, toml_of
from pytest_kubecluster.nodes.verdict import (
    NothingToCheck,
    case_of,
    checks,
    compare,
    difference_table,
)
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.specfile import find_spec_file
from pytest_kubecluster.spec.topology import Machine
from tests.unit.nodes.conftest import FakeNode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Classic = Callable[..., FakeNode]


def by_file(folder: Path, text: str) -> Callable[[ClusterSpec], ClusterSpec]:
    """Return what a spec file makes of a cluster."""

    def change(cluster: ClusterSpec) -> ClusterSpec:
        (folder / "kubecluster.toml").write_text(textwrap.dedent(text))
        *_, (_, cluster) = find_spec_file(folder).steps(cluster)
        cluster.check()
        return cluster

    return change


def test_a_node_without_a_lock_file(classic: Classic, tmp_path: Path) -> None:
    change = by_file(
        tmp_path,
        """
        [node.worker01]
        remove_flags = ["lock-file", "exit-on-lock-contention"]
        """,
    )
    node = classic(role="worker", change=change)
    assert "--lock-file" not in " ".join(node.argv)
    assert compare(node.look(), node.spec) == []
    case = case_of(node.look(), node.spec)
    with pytest.raises(NothingToCheck, match="the kubelet has no --lock-file"):
        list(checks()["lock_file_is_owned_by_root"](case))


def test_a_kubeconfig_elsewhere_is_pinned(classic: Classic, tmp_path: Path) -> None:
    change = by_file(
        tmp_path,
        """
        api_server = "https://api.k8s.example.org:6443"

        [kubelet]
        kubeconfig = "/var/lib/kubelet/kubeconfig"
        client_ca_file = "/var/lib/kubelet/ca.crt"
        modes = { kubeconfig = "0640" }
        """,
    )
    node = classic(role="worker", change=change)
    seen = node.look()
    assert compare(seen, node.spec) == []
    table = pinned(seen)
    assert table["api_server"] == "https://api.k8s.example.org:6443"
    assert table["kubeconfig"] == "/var/lib/kubelet/kubeconfig"
    modes = {one["path"]: one["mode"] for one in table["files"]}
    assert modes["/var/lib/kubelet/kubeconfig"] == "0640"
    version = node.spec.kubelet.version
    text = toml_of(document_of("worker01", version, table))
    assert not [line for line in text.splitlines() if line.startswith("#")]
    machine = Machine("worker01", "worker", NO_ADDRESS)
    spec = spec_from(tomllib.loads(text), machine, version, "found")["worker01"]
    assert compare(replace(seen, spec=spec), spec) == []


def test_a_node_without_node_ip(classic: Classic, tmp_path: Path) -> None:
    node = classic(change=by_file(tmp_path, '[kubelet]\nremove_flags = ["node-ip"]'))
    assert compare(node.look(), node.spec) == []
    case = case_of(node.look(), node.spec)
    with pytest.raises(NothingToCheck, match="the kubelet has no --node-ip"):
        list(checks()["node_ip_is_on_an_interface"](case))
    unwanted = replace(node, argv=[*node.argv, "--node-ip=127.0.0.1"])
    assert "--node-ip" in [one.name for one in compare(unwanted.look(), node.spec)]


def test_drop_ins_of_the_configuration_are_pinned(classic: Classic) -> None:
    node = classic(role="worker")
    node.write(
        "/etc/kubernetes/kubelet.conf.d/20-site.conf",
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        "clusterDomain: k8s.example.org\n",
    )
    node.argv.append("--config-dir=/etc/kubernetes/kubelet.conf.d")
    table = pinned(node.look())
    assert table["settings"]["clusterDomain"] == "k8s.example.org"
    assert "/etc/kubernetes/kubelet.conf.d/20-site.conf" in [one["path"] for one in table["files"]]


def test_the_same_values_in_other_words(classic: Classic, tmp_path: Path) -> None:
    flags = """
        [kubelet.flags]
        node-status-update-frequency = "60s"
        feature-gates = "NodeSwap=true"
        kube-reserved = "cpu=100m,memory=1Gi"
    """
    node = classic(change=by_file(tmp_path, flags))
    said = " ".join(node.argv)
    for old, new in (
        ("frequency=60s", "frequency=1m0s"),
        ("NodeSwap=true", "NodeSwap=True"),
        ("cpu=100m,memory=1Gi", "memory=1024Mi,cpu=0.1"),
    ):
        assert old in said
        said = said.replace(old, new)
    shown = {
        **node.spec.kubelet.configuration,
        "nodeStatusUpdateFrequency": "1m0s",
        "featureGates": {"NodeSwap": True},
        "kubeReserved": {"cpu": "100m", "memory": "1Gi"},
    }
    other = replace(node, argv=said.split())
    other.answers["own_configz"] = {
        "status": 200,
        "body": json.dumps({"kubeletconfig": shown}),
        "port": 10250,
    }
    assert compare(other.look(), node.spec) == []
    found = replace(
        found_kubelet(node.spec.kubelet.version), extra_flags=node.spec.kubelet.extra_flags
    )
    assert compare(other.look(), found) == []


def test_an_empty_flag_is_shown_on_its_side(classic: Classic) -> None:
    node = classic()
    extra = replace(node, argv=[*node.argv, "--cloud-provider="])
    (difference,) = (
        one for one in compare(extra.look(), node.spec) if one.name == "--cloud-provider"
    )
    assert (difference.expected, difference.actual) == (None, "")
    row = difference_table([difference])[1]
    assert row.startswith("--cloud-provider  (absent)")
    assert '""' in row


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, "Forbidden (user=kubelet)", "no right to nodes/proxy"),
        (500, "Authorization error (user=kubelet)", "cannot ask the API server"),
    ],
)
def test_webhook_authorization_leaves_nothing_to_ask_with_the_kubelets_own_certificate(
    classic: Classic, tmp_path: Path, status: int, body: str, words: str
) -> None:
    text = '[kubelet.settings]\nauthorization.mode = "Webhook"'
    node = classic(change=by_file(tmp_path, text))
    assert "mode: Webhook" in node.read("/etc/kubernetes/kubelet.yaml")
    refused = {"status": status, "body": body, "port": 10250}
    node.answers |= dict.fromkeys(("own_healthz", "own_pods", "own_configz"), refused)
    assert compare(node.look(), node.spec) == []
    case = case_of(node.look(), node.spec)
    with pytest.raises(NothingToCheck, match=words):
        list(checks()["pods_are_listed"](case))
    # Where the spec states no Webhook, it is a difference.
    assert compare(node.look(), classic().spec) != []


def test_a_node_of_the_bundled_layout_is_pinned_by_what_differs(
    classic: Classic, tmp_path: Path
) -> None:
    text = """
        [kubelet]
        cluster_domain = "a.b"
        flags = { v = 4 }
        remove_flags = ["lock-file", "exit-on-lock-contention"]
        labels = { zone = "a" }
        [kubelet.settings]
        authorization.mode = "Webhook"
        max-pods = 50
        shutdownGracePeriod = "30s"
    """
    node = classic(role="worker", change=by_file(tmp_path, text))
    version = node.spec.kubelet.version
    machine = Machine("worker01", "worker", node.spec.address)
    article = spec_from({}, machine, version, "classic")["worker01"].kubelet
    table = beside_the_article(node.look(), article)
    assert table == {
        "cluster_domain": "a.b",
        "flags": {"v": "4"},
        "remove_flags": ["lock-file", "exit-on-lock-contention"],
        "labels": {"zone": "a"},
        "settings": {"authorization.mode": "Webhook", "maxPods": 50, "shutdownGracePeriod": "30s"},
    }
    document = tomllib.loads(toml_of(document_of("worker01", version, table)))
    pinned_again = spec_from(document, machine, version, "classic")["worker01"].kubelet
    assert pinned_again.flags == node.spec.kubelet.flags
    assert pinned_again.configuration == node.spec.kubelet.configuration
    # Without the pin, each of these is a difference.
    names = {one.name for one in compare(node.look(), article)}
    assert {"--v", "--max-pods", "shutdownGracePeriod", "--authorization-mode"} <= names
