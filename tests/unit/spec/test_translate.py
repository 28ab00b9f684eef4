from __future__ import annotations

import re
import shlex
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts.classic import classic_kubelet
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.defaults import DEFAULT_VERSION
from pytest_kubecluster.spec.flags import parse_argv
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, Role, SpecError
from pytest_kubecluster.spec.node_labels import refused_labels
from pytest_kubecluster.spec.parts import Label, Taint
from pytest_kubecluster.spec.settings import same_value
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.translate import settings_of
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion
from tests.make_golden import NO_PKI


def kubelet(version: str, role: str = "master", **changes: object) -> KubeletSpec:
    spec = cluster_spec(version=KubeVersion.parse(version))
    return replace(spec[f"{role}01"].kubelet, **changes)  # type: ignore[arg-type]


def whats(kubelet: KubeletSpec) -> list[str]:
    return [change.what.partition(":")[0] for change in kubelet.changes]


@pytest.mark.parametrize("version", ["1.7.5", "1.8.7", "1.9.8"])
def test_the_articles_flags_until_there_is_a_file(version: str) -> None:
    article = cluster_spec()["master01"].kubelet
    assert kubelet(version).flags == article.flags
    assert kubelet(version).changes == ()
    assert not kubelet(version).config


def test_file_holds_what_is_deprecated_as_a_flag() -> None:
    config = kubelet("1.10.5").config
    assert dict(config) == {
        "client-ca-file": "/etc/kubernetes/ca.crt",
        "anonymous-auth": "false",
        "pod-manifest-path": "/etc/kubernetes/manifests",
        "cluster-dns": "10.3.0.10",
        "cluster-domain": "cluster.local",
        "authentication-token-webhook": "false",
        "authorization-mode": "AlwaysAllow",
        "read-only-port": "10255",
    }
    assert next(iter(kubelet("1.10.5").flags)) == "config"


@pytest.mark.parametrize(
    ("flag", "last", "gone"),
    [
        ("require-kubeconfig", "1.9", "1.10"),
        ("allow-privileged", "1.14", "1.15"),
        ("network-plugin", "1.23", "1.24"),
        ("cni-conf-dir", "1.23", "1.24"),
    ],
)
def test_dropped_flags_name_the_version(flag: str, last: str, gone: str) -> None:
    assert flag in kubelet(last).flags
    assert f"--{flag} dropped" not in whats(kubelet(last))
    assert flag not in kubelet(gone).settings
    (change,) = (one for one in kubelet(gone).changes if one.what == f"--{flag} dropped")
    assert change.reason.startswith(f"unknown from {gone};")
    assert change.source


def test_role_label_is_left_to_the_api_from_1_16() -> None:
    assert kubelet("1.15").node_labels == {"node-role.kubernetes.io/master": ""}
    assert kubelet("1.16").node_labels == {}
    assert "node-labels" not in kubelet("1.16").flags
    assert "--node-labels" in whats(kubelet("1.16", "worker"))


def test_other_labels_stay() -> None:
    labels = (Label("node-role.kubernetes.io/master"), Label("zone", "a"))
    assert kubelet("1.30", labels=labels).node_labels == {"zone": "a"}


@pytest.mark.parametrize(
    ("version", "keys"),
    [("1.23", ["master"]), ("1.24", ["master", "control-plane"]), ("1.25", ["control-plane"])],
)
def test_taint_key_is_kubeadms(version: str, keys: list[str]) -> None:
    expected = tuple(f"node-role.kubernetes.io/{key}=:NoSchedule" for key in keys)
    assert kubelet(version).node_taints == expected
    assert ("--register-with-taints" in whats(kubelet(version))) == (keys != ["master"])
    assert kubelet(version, "worker").node_taints == ()


def test_taints_go_into_the_file_from_1_23() -> None:
    assert "register-with-taints" in kubelet("1.22").flags
    assert "register-with-taints" in kubelet("1.23").config


def test_runtime_is_named_from_1_24() -> None:
    assert "container-runtime-endpoint" not in kubelet("1.23").settings
    endpoint = "unix:///run/containerd/containerd.sock"
    assert kubelet("1.24").flags["container-runtime-endpoint"] == endpoint
    assert kubelet("1.27").config["container-runtime-endpoint"] == endpoint


@pytest.mark.parametrize(
    ("version", "flag"),
    [("1.7", None), ("1.8", "flags"), ("1.9", "flags"), ("1.10", "config"), ("1.36", "config")],
)
def test_swap_is_put_up_with_where_the_host_has_it(version: str, flag: str | None) -> None:
    assert "fail-swap-on" not in kubelet(version).settings
    told = kubelet(version, swap=True)
    assert told.settings.get("fail-swap-on") == ("false" if flag else None)
    assert flag is None or "fail-swap-on" in getattr(told, flag)


def test_cgroup_v1_is_put_up_with_from_1_35() -> None:
    assert "fail-cgroupv1" not in kubelet("1.34", cgroup_v1=True).settings
    assert "fail-cgroupv1" not in kubelet("1.35").settings
    assert kubelet("1.35", cgroup_v1=True).config["fail-cgroupv1"] == "false"


def test_own_flags_stay_flags() -> None:
    own = kubelet("1.30").with_flags({"max-pods": "50", "anonymous-auth": "true"})
    assert (own.flags["max-pods"], own.flags["anonymous-auth"]) == ("50", "true")
    assert "anonymous-auth" not in own.config
    assert own.settings["anonymous-auth"] == "true"


def test_removing_a_setting_leaves_what_the_flag_would_be_without_it() -> None:
    without = kubelet("1.30").with_flags({"anonymous_auth": None, "cluster-domain": None})
    assert without.config["anonymous-auth"] == "true", "the default of the flag, not of the file"
    assert "cluster-domain" not in without.settings


def test_an_own_file_is_not_mixed_with_ours() -> None:
    own = kubelet("1.30").with_flags({"config": "/etc/mine.yaml"})
    assert own.flags["config"] == "/etc/mine.yaml"
    assert not own.config
    assert own.flags["anonymous-auth"] == "false"
    assert "kubelet.yaml" not in [file.name for file in own.files]


@pytest.mark.parametrize(
    ("version", "flag", "message"),
    [
        ("1.10.5", "require-kubeconfig", r"1\.10\.5 has no flag --require-kubeconfig; it was removed in 1\.10; instead: drop it"),
        ("1.24.0", "network-plugin", r"it was removed in 1\.24; instead: nothing \(CRI runtime config\)"),
        ("1.7.5", "config", r"has no flag --config; it was added in 1\.10"),
        ("1.30.0", "node-lables", r"has no flag --node-lables; did you mean --node-labels\?"),
        ("1.30.0", "qwertyuiop", r"has no flag --qwertyuiop, nor has any from 1\.7 to 1\.36"),
    ],
)  # fmt: skip
def test_own_flags_that_the_version_does_not_know(version: str, flag: str, message: str) -> None:
    spec = cluster_spec(version=KubeVersion.parse(version)).with_flags({flag: "x"}, node="master02")
    with pytest.raises(SpecError, match=f"master02: kubelet .*{message}"):
        spec.check()


def test_own_label_that_the_version_refuses() -> None:
    spec = cluster_spec(version=KubeVersion.parse("1.16.0"))
    spec.check()
    refused = spec.with_flags({"node-labels": "kubernetes.io/role=x,zone=a"})
    with pytest.raises(SpecError, match=r"does not start with the node label kubernetes\.io/role;"):
        refused.check()


@pytest.mark.parametrize(
    ("key", "minor", "refused"),
    [
        ("node-role.kubernetes.io/master", 15, False),
        ("node-role.kubernetes.io/master", 16, True),
        ("kubernetes.io/role", 16, True),
        ("k8s.io/x", 36, True),
        ("sub.k8s.io/x", 36, True),
        ("notkubernetes.io/x", 36, False),
        ("zone", 36, False),
        ("node.kubernetes.io/x", 36, False),
        ("sub.kubelet.kubernetes.io/x", 36, False),
        ("kubernetes.io/hostname", 36, False),
        ("kubernetes.io/instance-type", 16, False),
        ("kubernetes.io/instance-type", 17, True),
        ("topology.kubernetes.io/zone", 16, True),
        ("topology.kubernetes.io/zone", 17, False),
    ],
)
def test_labels_a_kubelet_may_set(key: str, minor: int, refused: bool) -> None:
    assert refused_labels([key], minor) == ([key] if refused else [])


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
KEYS = st.one_of(NAMES, st.tuples(NAMES, NAMES).map(lambda parts: f"{parts[0]}.org/{parts[1]}"))
VALUES = st.one_of(st.just(""), NAMES)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
ADDRESSES = st.integers(0x0A000001, 0x0AFFFFFE).map(IPv4Address)
VERSIONS = st.builds(KubeVersion, st.just(1), st.integers(OLDEST, NEWEST), st.integers(0, 20))
ROLES: tuple[Role, ...] = ("master", "worker")


@st.composite
def kubelets(draw: st.DrawFn) -> KubeletSpec:
    version = draw(VERSIONS)
    role = draw(st.sampled_from(ROLES))
    role_key = f"node-role.kubernetes.io/{role}"
    labels = draw(st.dictionaries(KEYS, VALUES, max_size=3))
    taints = draw(st.dictionaries(KEYS, VALUES, max_size=2))
    effects = st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])
    machine = Machine("node", role, draw(ADDRESSES))
    own_taints = (Taint(key, value, draw(effects)) for key, value in taints.items())
    return replace(
        classic_kubelet(machine, version),
        labels=(Label(role_key), *(Label(key, value) for key, value in labels.items())),
        taints=(Taint(role_key), *own_taints),
        cluster_dns=tuple(draw(st.lists(ADDRESSES, min_size=1, max_size=3))),
        cluster_domain=draw(NAMES),
        anonymous_auth=draw(st.booleans()),
        allow_privileged=draw(st.booleans()),
        client_ca_file=draw(PATHS),
        cni_conf_dir=draw(PATHS),
        lock_file=draw(PATHS),
        manifests=draw(PATHS),
        launched_by=draw(st.sampled_from([None, "rkt", "docker", "host"])),
        cgroup_v1=draw(st.booleans()),
        swap=draw(st.booleans()),
    )


def rendered(kubelet: KubeletSpec) -> tuple[list[str], dict[str, object]]:
    """Return the words of the unit's ExecStart, and the KubeletConfiguration beside it."""
    spec = cluster_spec(1, 0, version=kubelet.version)
    node = replace(spec.nodes[0], kubelet=kubelet)
    files = render_node(ClusterSpec((node,), version=kubelet.version), node, NO_PKI)
    unit = files["kubelet.service"].decode().replace("\\\n", " ")
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    words = shlex.split(found[1].replace("%%", "%").replace("$$", "$"))
    return words, yaml.safe_load(files.get("kubelet.yaml", b"{}"))


@given(kubelets())
def test_rendered_files_are_accepted_and_state_the_spec(kubelet: KubeletSpec) -> None:
    minor = kubelet.version.minor_version
    words, document = rendered(kubelet)
    line = parse_argv(words, minor)
    assert line.launcher == (kubelet.launcher.program,)
    assert line.flags == kubelet.flags
    assert line.extra == ()
    assert set(line.flags) <= set(catalog.flags(minor))
    known = {flag.field for flag in catalog.flags(minor).values()}
    assert set(dotted(document)) - {"apiVersion", "kind"} <= known
    said = {**settings_of(document, kubelet.version), **line.flags}
    said.pop("config", None)
    assert said == dict(kubelet.settings)
    assert said["node-ip"] == str(kubelet.node_ip)
    assert same_value(
        kubelet.version,
        "anonymous-auth",
        said["anonymous-auth"],
        str(kubelet.anonymous_auth).lower(),
    )
    assert said["lock-file"] == kubelet.lock_file
    own = [f"{taint.key}={taint.value}:{taint.effect}" for taint in (kubelet.taints or ())[1:]]
    assert [taint for taint in said["register-with-taints"].split(",") if taint in own] == own


def dotted(document: object, above: str = "") -> list[str]:
    if not isinstance(document, dict):
        return [above]
    places = [(f"{above}.{key}" if above else key, value) for key, value in document.items()]
    return [path for place, value in places for path in dotted(value, place)]


@given(kubelets())
def test_what_is_dropped_is_accounted_for(kubelet: KubeletSpec) -> None:
    article = replace(kubelet, version=DEFAULT_VERSION, launched_by=None)
    missing = set(article.settings) - set(kubelet.settings)
    accounted = {change.what.split()[0].strip("-:") for change in kubelet.changes}
    assert missing <= accounted
    assert all(change.reason and change.source for change in kubelet.changes)


def test_gates_in_a_file_are_written_as_the_flag_writes_them() -> None:
    version = KubeVersion.parse("1.30.0")
    said = settings_of({"featureGates": {"GracefulNodeShutdown": True}}, version)
    assert said == {"feature-gates": "GracefulNodeShutdown=true"}
