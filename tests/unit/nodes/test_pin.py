"""A node written down as a spec file: it satisfies that file, and any change of it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.nodes.kubelet import Kubelet
from pytest_kubecluster.nodes.pin import document_of, known_files, pinned, spec_from, toml_of
from pytest_kubecluster.nodes.verdict import compare, difference_table
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import FlagError
from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.specfile import SpecFileError
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.nodes.conftest import ACCOUNT, FakeNode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "w-1.k8s.example.org"
DROP_IN = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
ENVIRONMENT = "/var/lib/kubelet/kubeadm-flags.env"
UNIT = "/usr/lib/systemd/system/kubelet.service"
CONFIG = "/var/lib/kubelet/config.yaml"
KUBECONFIG = "/etc/kubernetes/kubelet.conf"
FILE = {"owner": "root", "group": "root", "mode": 0o644, "kind": "file", "sha256": "0" * 64}
REFUSED = {"status": 403, "body": "Forbidden", "port": 10250}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Mapping[str, Any]:
    """Return what the agent sees of a healthy node, as kubeadm would join it."""
    spec = cluster_spec(1, 1, version=KubeVersion.parse("1.30.4"))["worker01"]
    root = tmp_path_factory.mktemp("root")
    content = render_node(cluster_spec(1, 1), spec, pki)
    node = FakeNode(spec, root, ["/usr/bin/kubelet", f"--kubeconfig={KUBECONFIG}"], {}, {}, {})
    node.write(KUBECONFIG, content["kubeconfig"])
    node.write("/etc/kubernetes/ca.crt", content["ca.crt"], 0o644)
    node.argv.append("--client-ca-file=/etc/kubernetes/ca.crt")
    seen = node.seen()
    seen["unit"] = {**ACCOUNT, "FragmentPath": UNIT, "DropInPaths": DROP_IN}
    seen["kubelet"]["main"] = False
    seen["addresses"] = ["127.0.0.1", "10.0.0.21", "10.0.0.22", "fd00::21"]
    seen["answers"] |= dict.fromkeys(("own_healthz", "own_pods", "own_configz"), REFUSED)
    return seen


def document(content: Mapping[str, Any], path: str = CONFIG, **more: Any) -> dict[str, Any]:
    head = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    return {"path": path, **FILE, "document": {**head, **content}, **more}


def unit_file(kind: str, text: str = "", **more: Any) -> dict[str, Any]:
    from base64 import b64encode

    content = b64encode(text.encode()).decode()
    return {**FILE, "kind_of_file": kind, "content": content, **more}


def observed(base: Mapping[str, Any], **more: Any) -> Kubelet:
    """Return an observation of the healthy node with other things seen."""
    seen = {
        **base,
        "unit_files": {
            UNIT: unit_file("unit", "[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n"),
            DROP_IN: unit_file("drop-in"),
            ENVIRONMENT: unit_file("environment"),
        },
        "configuration": [document({"clusterDNS": ["10.96.0.10"], "maxPods": 50})],
        **{name: value for name, value in more.items() if name != "flags"},
    }
    flags = [
        f"--config={CONFIG}",
        "--node-ip=10.0.0.21",
        "--node-labels=zone=a",
        "--register-with-taints=a=b:NoSchedule",
        "--hostname-override=worker-one",
    ]
    argv = [*base["kubelet"]["argv"], *more.get("flags", flags)]
    seen["kubelet"] = {**base["kubelet"], "argv": argv}
    spec = cluster_spec(1, 1, version=KubeVersion.parse("1.30.4"))["worker01"]
    seen["version"] = more.get("version", base["version"])
    return Kubelet.parse(seen, spec, {})


def pin(seen: Kubelet, *, minimal: bool = False) -> KubeletSpec:
    """Return the spec that results from the node's generated spec file."""
    version = seen.version
    assert version
    text = toml_of(document_of(NAME, version, pinned(seen, minimal=minimal)))
    assert "#" not in text.partition("[node")[0]
    machine = Machine(NAME, "worker", NO_ADDRESS)
    spec = spec_from(tomllib.loads(text), machine, version, "found")
    spec.check()
    return spec[NAME].kubelet


def again(seen: Kubelet) -> Kubelet:
    """Return the look that follows: at the files, too, that the spec states."""
    return replace(seen, files={file.path: file for file, _ in known_files(seen)})


def differences(seen: Kubelet, spec: KubeletSpec) -> list[str]:
    return [one.name for one in compare(again(seen), spec)]


def test_a_node_satisfies_its_pin(base: Mapping[str, Any]) -> None:
    seen = observed(base)
    spec = pin(seen)
    assert differences(seen, spec) == []
    assert spec.api_server == seen.credentials.server if seen.credentials else ""
    assert spec.kubeconfig == KUBECONFIG
    assert spec.unit_drop_ins == (DROP_IN,)
    assert spec.node_ips == (ip_address("10.0.0.21"),)
    assert dict(spec.extra_settings)["maxPods"] == 50


def changed_file(path: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(more: dict[str, Any]) -> None:
        more["unit_files"][path] = {**more["unit_files"][path], **changes}

    return change


def changed(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda more: more.update(changes)


def flagged(old: str, *new: str) -> Callable[[dict[str, Any]], None]:
    def change(more: dict[str, Any]) -> None:
        at = more["flags"].index(old)
        more["flags"][at : at + 1] = new

    return change


def configured(**content: Any) -> Callable[[dict[str, Any]], None]:
    return lambda more: more.update(configuration=[document(content)])


SEEN = {"clusterDNS": ["10.96.0.10"], "maxPods": 50}
NODE_IP = "--node-ip=10.0.0.21"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a setting in the file": (configured(**{**SEEN, "maxPods": 51}), "--max-pods"),
    "the order of servers": (configured(**{**SEEN, "clusterDNS": ["10.96.0.11"]}), "--cluster-dns"),
    "a setting that is gone": (configured(clusterDNS=["10.96.0.10"]), "--max-pods"),
    "a flag instead of the file's": (flagged(NODE_IP, NODE_IP, "--max-pods=7"), "--max-pods"),
    "a drop-in of the configuration": (
        changed(
            configuration=[
                document(SEEN),
                document({"maxPods": 9}, "/etc/kubelet.d/1.conf", drop_in=True),
            ]
        ),
        "--max-pods",
    ),
    "a label": (flagged("--node-labels=zone=a", "--node-labels=zone=b"), "--node-labels"),
    "no label": (flagged("--node-labels=zone=a"), "--node-labels"),
    "a taint": (
        flagged(
            "--register-with-taints=a=b:NoSchedule",
            "--register-with-taints=a=b:NoSchedule,c=d:NoExecute",
        ),
        "--register-with-taints",
    ),
    "no taints": (flagged("--register-with-taints=a=b:NoSchedule"), "--register-with-taints"),
    "another address": (flagged(NODE_IP, "--node-ip=10.0.0.22"), "--node-ip"),
    "a second address": (flagged(NODE_IP, "--node-ip=10.0.0.21,fd00::21"), "--node-ip"),
    "no address": (flagged(NODE_IP), "--node-ip"),
    "another name": (
        flagged("--hostname-override=worker-one", "--hostname-override=worker-two"),
        "registered name",
    ),
    "another version": (
        changed(version={"text": "v1.30.5", "source": "/metrics"}),
        "version",
    ),
    "the unit's file": (
        changed(unit={**ACCOUNT, "FragmentPath": "/etc/x.service", "DropInPaths": DROP_IN}),
        "unit FragmentPath",
    ),
    "a drop-in of the unit": (
        changed(unit={**ACCOUNT, "FragmentPath": UNIT, "DropInPaths": f"{DROP_IN} /etc/x.conf"}),
        "unit drop-in /etc/x.conf",
    ),
    "no drop-in": (
        changed(unit={**ACCOUNT, "FragmentPath": UNIT, "DropInPaths": ""}),
        f"unit drop-in {DROP_IN}",
    ),
    "a directive": (
        lambda more: more["unit_files"].update(
            {UNIT: unit_file("unit", "[Service]\nExecStart=/usr/bin/kubelet\nRestart=no\n")}
        ),
        "unit [Service] Restart",
    ),
    "the content of a drop-in": (changed_file(DROP_IN, sha256="1" * 64), f"{DROP_IN} content"),
    "the mode of a drop-in": (changed_file(DROP_IN, mode=0o600), f"{DROP_IN} mode"),
    "the group of the environment": (changed_file(ENVIRONMENT, group="kube"), f"{ENVIRONMENT} owner"),
    "the mode of the configuration": (
        changed(configuration=[document(SEEN, mode=0o600)]),
        f"{CONFIG} mode",
    ),
    "a failed unit": (changed(failed_units=["x.service"]), "unit x.service"),
    "the resolver": (changed(resolved={"ActiveState": "failed"}), "systemd-resolved"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_any_change_of_a_statement_is_exactly_one_difference(
    what: str, base: Mapping[str, Any]
) -> None:
    before = observed(base)
    spec = pin(before)
    more: dict[str, Any] = {
        "flags": [
            f"--config={CONFIG}",
            NODE_IP,
            "--node-labels=zone=a",
            "--register-with-taints=a=b:NoSchedule",
            "--hostname-override=worker-one",
        ],
        "unit_files": {
            UNIT: unit_file("unit", "[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n"),
            DROP_IN: unit_file("drop-in"),
            ENVIRONMENT: unit_file("environment"),
        },
    }
    assert differences(observed(base, **more), spec) == []
    change, name = CHANGES[what]
    change(more)
    found = differences(observed(base, **more), spec)
    assert found == [name]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["10s", "5%", "a=b", "1Gi", "::1", "a\nb", "0-3"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["key", "numaNode", "limits", "x509"]), inner, max_size=2)
    ),
    max_leaves=4,
)
TEXTS_OF_UNITS = st.text(max_size=20) | st.sampled_from(
    [f"[Service]\nExecStart={words}\n" for words in ("@", "-", "$A %x 'q", "\\", "/x ${", "")]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(sorted(catalog.fields("1.30"))), ANYTHING, max_size=3),
    TEXTS_OF_UNITS,
)
def test_whatever_is_on_the_disk_is_judged(
    base: Mapping[str, Any], fields: dict[str, Any], text: str
) -> None:
    configuration: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, last = path.split(".")
        inner = configuration
        for name in parents:
            if not isinstance(inner.get(name), dict):
                inner[name] = {}
            inner = inner[name]
        inner[last] = value
    units = {UNIT: unit_file("unit", text), ENVIRONMENT: unit_file("environment", text)}
    seen = observed(base, configuration=[document(configuration)], unit_files=units)
    difference_table(compare(seen, seen.spec))
    try:
        assert pin(seen)
    except (FlagError, SpecFileError):
        return  # said in one sentence: of what no kubelet would accept


def test_another_client_ca_is_a_difference(base: Mapping[str, Any]) -> None:
    spec = pin(observed(base))
    ca = base["client_ca"]
    other = {**ca, "file": {**ca["file"], "sha256": "1" * 64}}
    assert differences(observed(base, client_ca=other), spec) == [f"{ca['path']} content"]


def test_the_identity_and_the_server_are_stated(base: Mapping[str, Any]) -> None:
    seen = observed(base)
    spec = pin(seen)
    assert seen.credentials
    assert spec.identity.user
    assert spec.identity.groups
    moved = replace(seen, credentials=replace(seen.credentials, server="https://10.9.9.9:6443"))
    assert differences(moved, spec) == [f"{KUBECONFIG} server"]
    other = replace(spec, identity=replace(spec.identity, user="system:node:other"))
    assert differences(seen, other) == ["client certificate user"]


def test_minimal_leaves_out_what_is_the_default(base: Mapping[str, Any]) -> None:
    seen = observed(
        base,
        flags=[f"--config={CONFIG}"],
        configuration=[document({"maxPods": 110, "podsPerCore": 3, "syncFrequency": "60s"})],
    )
    full, minimal = pinned(seen), pinned(seen, minimal=True)
    assert full["settings"].keys() == {
        "maxPods",
        "podsPerCore",
        "syncFrequency",
        "authentication.x509.clientCAFile",
    }
    assert minimal["settings"].keys() == {"podsPerCore", "authentication.x509.clientCAFile"}
    assert (full["taints"], full["node_ip"]) == ([], False)
    assert not {"taints", "node_ip"} & minimal.keys()
    assert differences(seen, pin(seen, minimal=True)) == []


def test_other_ways_to_identify_are_pinned(base: Mapping[str, Any]) -> None:
    seen = observed(base)
    assert seen.credentials
    token = replace(
        seen, credentials=replace(seen.credentials, kind="exec plugin", certificates=(), key="")
    )
    table = pinned(token)
    assert "identity" not in table
    assert differences(token, pin(token)) == []
    alone = replace(seen, credentials=None)
    assert "kubeconfig" not in pinned(alone)
    assert differences(alone, pin(alone)) == []


LINES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from("\\\"'#%$"),
    max_size=20,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "maxPods": st.integers(0, 500),
    "clusterDomain": st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True),
    "clusterDNS": st.lists(st.ip_addresses().map(str), max_size=3),
    "evictionHard": st.dictionaries(
        st.sampled_from(["memory.available", "nodefs.available"]),
        st.sampled_from(["100Mi", "10%", "1Gi"]),
    ),
    "featureGates": st.dictionaries(st.sampled_from(["NodeSwap", "CPUManager"]), st.just(True)),
    "syncFrequency": st.sampled_from(["0s", "10s", "1m0s", "90s"]),
    "authentication": st.fixed_dictionaries({"anonymous": st.just({"enabled": False})}),
    "authorization": st.sampled_from([{"mode": "Webhook"}, {}]),
    "registerWithTaints": st.lists(
        st.sampled_from(
            [
                {"key": "a", "effect": "NoSchedule"},
                {"key": "b", "value": "c", "effect": "NoExecute"},
            ]
        ),
        max_size=2,
        unique_by=str,
    ),
    "reservedMemory": st.sampled_from([[], [{"numaNode": 0, "limits": {"memory": "1Gi"}}]]),
    "tracing": st.sampled_from([{}, {"endpoint": "h:1", "samplingRatePerMillion": None}]),
    "resolvConf": LINES,
    "serializeImagePulls": st.booleans(),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_node_is_it_satisfies_its_pin(
    data: st.DataObject, base: Mapping[str, Any]
) -> None:
    draw = data.draw
    content = draw(st.fixed_dictionaries({}, optional=VALUES))
    flags = draw(
        st.lists(
            st.sampled_from(
                [
                    "--node-ip=10.0.0.21,fd00::21",
                    "--node-labels=zone=a,node.kubernetes.io/x=",
                    "--max-pods=7",
                    "--v=2",
                    "--cloud-provider=",
                    "--container-runtime-endpoint=/run/containerd/containerd.sock",
                    "--rotate-certificates",
                    "--hostname-override=Worker-One",
                ]
            ),
            unique=True,
        )
    )
    lines = "\n".join(["[Service]", *(f"Environment=A={draw(LINES)}" for _ in range(2)), ""])
    seen = observed(
        base,
        flags=[f"--config={CONFIG}", *flags],
        configuration=[document(content)],
        unit_files={UNIT: unit_file("unit", lines), DROP_IN: unit_file("drop-in", draw(LINES))},
        failed_units=draw(st.sampled_from([[], ["x.service"]])),
    )
    for minimal in (False, True):
        assert differences(seen, pin(seen, minimal=minimal)) == []
