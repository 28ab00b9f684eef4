from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from pytest_kubecluster.nodes.agent.proxy import is_proxy
from pytest_kubecluster.nodes.cis import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    WAIVED,
    WAIVER_NOT_NEEDED,
    WARN,
    Finding,
    benchmark_of,
    findings,
)
from pytest_kubecluster.report.cis import cis_rows, has_failed, summary
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.benchmarks import Waiver, benchmarks
from tests.make_golden import golden_cis
from tests.unit.nodes.conftest import FakeNode

Classic = Callable[..., FakeNode]
Break = Callable[[FakeNode], None]

SUITES = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
GOOD_FLAGS = {
    "allow-privileged": "false",
    "authorization-mode": "Webhook",
    "read-only-port": "0",
    "streaming-connection-idle-timeout": "5m",
    "protect-kernel-defaults": "true",
    "make-iptables-util-chains": "true",
    "keep-terminated-pod-volumes": "false",
    "event-qps": "0",
    "tls-cert-file": "/var/lib/kubelet/pki/kubelet.crt",
    "tls-private-key-file": "/var/lib/kubelet/pki/kubelet.key",
    "cadvisor-port": "0",
    "rotate-certificates": "true",
    "tls-cipher-suites": SUITES,
    "pod-max-pids": "1000",
    "seccomp-default": "true",
}
UNIT = "/etc/systemd/system/kubelet.service"
DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
KUBECONFIG, CA = "/etc/kubernetes/kubeconfig", "/etc/kubernetes/ca.crt"
CONFIG = "/etc/kubernetes/kubelet.yaml"
PROXY = "/var/lib/kube-proxy/kubeconfig"
FILE = {"owner": "root", "group": "root", "mode": 0o600, "kind": "file"}


def proxy(address: str = "", **file: Any) -> dict[str, Any]:
    document = {"metricsBindAddress": address} if address else {}
    return {
        "argv": ["kube-proxy", "--config=/etc/proxy.yaml"],
        "contained": False,
        "configuration": {"path": "/etc/proxy.yaml", **FILE, "document": document},
        "kubeconfig": {"path": PROXY, "file": {**FILE, **file}},
    }


@pytest.fixture
def good(classic: Classic) -> Callable[[str], FakeNode]:
    """Return a node on which every check passes."""

    def make(version: str) -> FakeNode:
        node = classic(version, "worker")
        minor = node.spec.kubelet.version.minor_version
        gates = {"RotateKubeletServerCertificate": "true"}
        if minor in ("1.7", "1.8", "1.9", "1.10"):
            gates["RotateKubeletClientCertificate"] = "true"
        flags = {
            **GOOD_FLAGS,
            "feature-gates": ",".join(f"{gate}={on}" for gate, on in gates.items()),
        }
        node.argv += [f"--{f}={v}" for f, v in flags.items() if f in catalog.flags(minor)]
        for path in (UNIT, KUBECONFIG, CA, CONFIG):
            if (node.root / path.lstrip("/")).exists():
                (node.root / path.lstrip("/")).chmod(0o600)
        node.account["IPAddressDeny"] = "::/0 0.0.0.0/0"
        node.more["proxy"] = proxy("127.0.0.1:10249")
        return node

    return make


def statuses(node: FakeNode, *waivers: Waiver) -> dict[str, str]:
    return {one.check.name: one.status for one in findings(node.look(), waivers)}


def by_name(node: FakeNode, name: str) -> Finding:
    (found,) = (one for one in findings(node.look()) if one.check.name == name)
    return found


VERSIONS = [f"1.{one.first}.0" for one in benchmarks().values()]


@pytest.mark.parametrize("version", [*VERSIONS, "1.36.0"])
def test_node_that_is_as_it_must_be_passes_all(
    good: Callable[[str], FakeNode], version: str
) -> None:
    found = statuses(good(version))
    config = {"config-mode", "config-owner"} if version in ("1.7.0", "1.8.0") else set()
    assert {name: one for name, one in found.items() if one != PASS and name not in config} == {}


def flags(*words: str) -> Break:
    return lambda node: node.argv.extend(words)


def without(flag: str) -> Break:
    def change(node: FakeNode) -> None:
        node.argv[:] = [word for word in node.argv if word.split("=")[0] != f"--{flag}"]

    return change


def configured(path: str, value: Any) -> Break:
    """State a setting in the configuration file instead of a flag."""

    def change(node: FakeNode) -> None:
        field = catalog.fields("1.30")[path]
        assert field.flag
        without(field.flag)(node)
        document = yaml.safe_load(node.read(CONFIG))
        *parents, last = path.split(".")
        inner = document
        for one in parents:
            inner = inner.setdefault(one, {})
        inner[last] = value
        node.write(CONFIG, yaml.safe_dump(document))

    return change


def mode(path: str, number: int) -> Break:
    return lambda node: (node.root / path.lstrip("/")).chmod(number)


def owner(kind: str, path: str) -> Break:
    """Give a file to another user, as the agent would see it."""

    def change(node: FakeNode) -> None:
        seen = node.seen()
        if kind == "unit_files":
            node.more[kind] = {**seen[kind], path: {**seen[kind][path], "owner": "kube"}}
        elif kind == "configuration":
            node.more[kind] = [{**one, "group": "kube"} for one in seen[kind]]
        else:
            node.more[kind] = {**seen[kind], "file": {**seen[kind]["file"], "owner": "kube"}}

    return change


def more(**values: Any) -> Break:
    return lambda node: node.more.update(values)


def gates(text: str) -> Break:
    def change(node: FakeNode) -> None:
        without("feature-gates")(node)
        node.argv.append(f"--feature-gates={text}")

    return change


def drop_in(number: int) -> Break:
    def change(node: FakeNode) -> None:
        node.write(DROP_IN, "[Service]\n", number)
        node.unit_files[DROP_IN] = "drop-in"
        node.account["DropInPaths"] = DROP_IN

    return change


BREAKAGES: list[tuple[str, str, Break]] = [
    ("unit-mode", "1.30.0", mode(UNIT, 0o644)),
    ("unit-mode", "1.16.0", mode(UNIT, 0o664)),
    ("unit-mode", "1.30.0", drop_in(0o640)),
    ("unit-owner", "1.30.0", owner("unit_files", UNIT)),
    ("kubeconfig-mode", "1.30.0", mode(KUBECONFIG, 0o640)),
    ("kubeconfig-owner", "1.30.0", owner("kubeconfig", KUBECONFIG)),
    ("client-ca-mode", "1.30.0", mode(CA, 0o666)),
    ("client-ca-mode", "1.28.0", mode(CA, 0o644)),
    ("client-ca-owner", "1.30.0", owner("client_ca", CA)),
    ("config-mode", "1.30.0", mode(CONFIG, 0o644)),
    ("config-owner", "1.30.0", owner("configuration", CONFIG)),
    ("proxy-kubeconfig-mode", "1.30.0", more(proxy=proxy(mode=0o644))),
    ("proxy-kubeconfig-owner", "1.30.0", more(proxy=proxy(group="kube"))),
    ("allow-privileged", "1.7.5", flags("--allow-privileged")),
    ("allow-privileged", "1.8.0", without("allow-privileged")),
    ("anonymous-auth", "1.30.0", flags("--anonymous-auth")),
    ("anonymous-auth", "1.30.0", configured("authentication.anonymous.enabled", True)),
    ("authorization-mode", "1.30.0", flags("--authorization-mode=AlwaysAllow")),
    ("authorization-mode", "1.7.5", without("authorization-mode")),
    ("client-ca-file", "1.7.5", without("client-ca-file")),
    ("read-only-port", "1.30.0", flags("--read-only-port=10255")),
    ("read-only-port", "1.7.5", without("read-only-port")),
    ("streaming-connection-idle-timeout", "1.7.5", without("streaming-connection-idle-timeout")),
    (
        "streaming-connection-idle-timeout",
        "1.30.0",
        flags("--streaming-connection-idle-timeout=0"),
    ),
    ("protect-kernel-defaults", "1.24.0", configured("protectKernelDefaults", False)),
    ("protect-kernel-defaults", "1.7.5", without("protect-kernel-defaults")),
    ("make-iptables-util-chains", "1.30.0", flags("--make-iptables-util-chains=false")),
    ("make-iptables-util-chains", "1.8.0", without("make-iptables-util-chains")),
    ("keep-terminated-pod-volumes", "1.7.5", flags("--keep-terminated-pod-volumes")),
    ("hostname-override", "1.30.0", flags("--hostname-override=node")),
    ("event-qps", "1.16.0", configured("eventRecordQPS", 5)),
    ("event-qps", "1.16.0", without("event-qps")),
    ("event-qps", "1.30.0", configured("eventRecordQPS", -1)),
    ("tls-cert-file", "1.30.0", without("tls-private-key-file")),
    ("cadvisor-port", "1.7.5", without("cadvisor-port")),
    ("cadvisor-port", "1.11.0", flags("--cadvisor-port=4194")),
    ("rotate-certificates", "1.30.0", flags("--rotate-certificates=false")),
    (
        "rotate-client-certificate-gate",
        "1.8.0",
        gates("RotateKubeletServerCertificate=true,RotateKubeletClientCertificate=false"),
    ),
    (
        "rotate-server-certificate-gate",
        "1.8.0",
        gates("RotateKubeletClientCertificate=true"),
    ),
    ("rotate-server-certificate-gate", "1.13.0", without("feature-gates")),
    (
        "rotate-server-certificate-gate",
        "1.30.0",
        gates("RotateKubeletServerCertificate=false"),
    ),
    ("tls-cipher-suites", "1.30.0", flags("--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA")),
    ("tls-cipher-suites", "1.32.0", flags("--tls-cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256")),
    ("tls-cipher-suites", "1.13.0", without("tls-cipher-suites")),
    ("pod-max-pids", "1.30.0", configured("podPidsLimit", -1)),
    ("pod-max-pids", "1.25.0", without("pod-max-pids")),
    ("seccomp-default", "1.30.0", configured("seccompDefault", False)),
    ("ip-address-deny", "1.30.0", lambda node: node.account.update(IPAddressDeny="10.0.0.0/8")),
    ("proxy-metrics-bind-address", "1.30.0", more(proxy=proxy("0.0.0.0:10249"))),
    ("proxy-metrics-bind-address", "1.27.0", more(proxy=proxy("[::]:10249"))),
]


@pytest.mark.parametrize(
    ("name", "version", "change"),
    BREAKAGES,
    ids=[f"{name}-{version}-{i}" for i, (name, version, _) in enumerate(BREAKAGES)],
)
def test_each_check_fails_where_it_must_and_no_other(
    good: Callable[[str], FakeNode], name: str, version: str, change: Break
) -> None:
    node = good(version)
    change(node)
    found = {name: one for name, one in statuses(node).items() if one in (FAIL, WARN)}
    assert set(found) == {name}
    check = by_name(node, name).check
    assert found[name] == (WARN if check.manual else FAIL)


def test_every_check_has_a_breakage() -> None:
    names = {check.name for one in benchmarks().values() for check in one.checks.values()}
    assert {name for name, _, _ in BREAKAGES} == names


@pytest.mark.parametrize("version", ["1.16.0", "1.30.0"])
def test_flag_wins_over_the_file(good: Callable[[str], FakeNode], version: str) -> None:
    node = good(version)
    configured("authorization.mode", "AlwaysAllow")(node)
    assert statuses(node)["authorization-mode"] == FAIL
    node.argv.append("--authorization-mode=Webhook")
    assert statuses(node)["authorization-mode"] == PASS


def test_where_a_benchmark_accepts_it_unset_passes(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    for name in ("make-iptables-util-chains", "rotate-certificates", "event-qps", "feature-gates"):
        without(name)(node)
    assert set(statuses(node).values()) == {PASS}


def test_read_only_port_that_nothing_states_is_the_default_of_this_kubelet(
    good: Callable[[str], FakeNode],
) -> None:
    node = good("1.30.0")
    without("read-only-port")(node)
    configured("readOnlyPort", 0)(node)
    document = yaml.safe_load(node.read(CONFIG))
    del document["readOnlyPort"]
    node.write(CONFIG, yaml.safe_dump(document))
    assert statuses(node)["read-only-port"] == PASS
    without("config")(node)
    (difference,) = by_name(node, "read-only-port").differences
    assert difference.actual == "not set (default 10255)"


def test_differences_name_the_place_and_the_remedy(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    configured("authorization.mode", "AlwaysAllow")(node)
    mode(UNIT, 0o644)(node)
    (difference,) = by_name(node, "authorization-mode").differences
    assert (difference.name, difference.expected) == ("--authorization-mode", "not AlwaysAllow")
    assert (difference.actual, difference.actual_in) == ("AlwaysAllow", CONFIG)
    assert by_name(node, "unit-mode").remedy == f"Run: chmod 600 {UNIT}"


def test_what_is_not_there_is_not_judged(classic: Classic) -> None:
    node = classic("1.7.5")
    without("kubeconfig")(node)
    without("require-kubeconfig")(node)
    found = {name: one for name, one in statuses(node).items() if one == NOT_APPLICABLE}
    assert set(found) == {
        "kubeconfig-mode",
        "kubeconfig-owner",
        "proxy-kubeconfig-mode",
        "proxy-kubeconfig-owner",
    }


def test_proxy_in_a_container_has_no_file_on_the_node(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    node.more["proxy"] = {**proxy("127.0.0.1:10249", mode=0o644), "contained": True}
    found = by_name(node, "proxy-kubeconfig-mode")
    assert "in a container" in found.not_applicable
    assert statuses(node)["proxy-metrics-bind-address"] == PASS


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("", PASS),
        ("127.0.0.1", PASS),
        ("[::1]:10249", PASS),
        ("::1", PASS),
        ("localhost:10249", PASS),
        ("192.0.2.1:10249", FAIL),
        ("::", FAIL),
        ("0.0.0.0", FAIL),
    ],
)
def test_addresses_of_the_proxys_metrics(
    good: Callable[[str], FakeNode], address: str, status: str
) -> None:
    node = good("1.30.0")
    node.more["proxy"] = proxy(address)
    assert statuses(node)["proxy-metrics-bind-address"] == status
    node.more["proxy"] = {"argv": ["kube-proxy", "--metrics-bind-address", address or "::1"]}
    assert statuses(node)["proxy-metrics-bind-address"] == status


def test_proxy_flag_wins_over_its_file(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    seen = proxy("0.0.0.0:10249")
    seen["argv"].append("--metrics-bind-address=127.0.0.1:10249")
    node.more["proxy"] = seen
    assert statuses(node)["proxy-metrics-bind-address"] == PASS


def test_kubelet_that_does_not_run_fails_what_its_settings_must_show(classic: Classic) -> None:
    node = classic("1.30.0")
    node.more["kubelet"] = None
    found = by_name(node, "anonymous-auth")
    assert found.status == FAIL
    assert found.differences[0].actual == "no kubelet runs"


def test_command_line_that_cannot_be_read_fails(classic: Classic) -> None:
    node = classic("1.30.0")
    node.argv.append("--no-such-flag")
    found = by_name(node, "anonymous-auth")
    assert "unknown flag: --no-such-flag" in str(found.differences[0].actual)


def test_configuration_that_cannot_be_read_is_named(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    without("authorization-mode")(node)
    node.write(CONFIG, "{")
    found = by_name(node, "authorization-mode")
    assert CONFIG in str(found.differences[0].actual)


def test_waivers(good: Callable[[str], FakeNode]) -> None:
    node = good("1.30.0")
    mode(UNIT, 0o644)(node)
    waivers = Waiver("4.1.1", "the unit is public"), Waiver("anonymous-auth", "for no reason")
    found = statuses(node, *waivers)
    assert found["unit-mode"] == WAIVED
    assert found["anonymous-auth"] == WAIVER_NOT_NEEDED
    rows = cis_rows("worker01", node.look(), waivers)
    assert not has_failed(rows)
    assert has_failed(cis_rows("worker01", node.look(), ()))
    assert summary(rows) == f"{len(rows) - 2} pass, 1 waived, 1 waiver not needed"
    (row,) = (one for one in rows if one["status"] == WAIVED)
    assert row["reason"] == "the unit is public"
    assert {frozenset(one) for one in rows} == {frozenset(row)}


def test_benchmark_is_that_of_the_running_kubelet(classic: Classic) -> None:
    node = classic("1.30.0")
    node.more["version"] = {"text": "v1.24.0", "source": "/metrics"}
    assert benchmark_of(node.look()).name == "cis-1.24"


def test_lists_of_the_layouts_are_golden() -> None:
    for path, content in golden_cis():
        assert path.read_bytes() == content, "python -m tests.make_golden"


@pytest.mark.parametrize(
    ("argv", "proxy"),
    [
        (("kube-proxy", "--config=/x"), True),
        (("/usr/local/bin/kube-proxy",), True),
        (("/hyperkube", "proxy", "--master=x"), True),
        (("/hyperkube", "kubelet"), False),
        (("nginx-proxy",), False),
        ((), False),
    ],
)
def test_processes_that_are_kube_proxy(argv: tuple[str, ...], proxy: bool) -> None:
    assert is_proxy(argv) is proxy
