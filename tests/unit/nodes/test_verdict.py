from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from pytest_kubecluster.artifacts.pki import ensure_pki
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.verdict import case_of, checks, compare, difference_table
from pytest_kubecluster.nodes.verdict.difference import Difference, Evidence, NothingToCheck
from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.parts import (
    FileStatement,
    HostStatement,
    IdentityStatement,
    Label,
    Taint,
)
from tests.unit.nodes.conftest import FakeNode

Classic = Callable[..., FakeNode]
KUBECONFIG = "/etc/kubernetes/kubeconfig"
UNIT = "/etc/systemd/system/kubelet.service"


def failing(node: FakeNode, spec: KubeletSpec | None = None) -> set[str]:
    """Return the names of the checks that find something."""
    case = case_of(node.look(), spec or node.spec)
    found = set()
    for name, check in checks().items():
        try:
            found |= {name} if list(check(case)) else set()
        except NothingToCheck:
            continue
    return found


def found(node: FakeNode, **stated: Any) -> KubeletSpec:
    """Return a spec that states the version and what is given."""
    return replace(found_kubelet(node.spec.kubelet.version), **stated)


def reason(node: FakeNode, name: str, spec: KubeletSpec | None = None) -> str:
    """Return why a check has nothing to check."""
    case = case_of(node.look(), spec or node.spec)
    with pytest.raises(NothingToCheck) as raised:
        list(checks()[name](case))
    return str(raised.value)


@pytest.mark.parametrize("role", ["master", "worker"])
@pytest.mark.parametrize("version", ["1.7.5", "1.9.8", "1.16.0", "1.24.0", "1.30.4", "1.36.0"])
def test_healthy_node_has_no_difference(classic: Classic, version: str, role: str) -> None:
    node = classic(version, role)
    if node.spec.kubelet.version.minor < 10:
        node.answers["own_configz"] = {"status": 404, "body": "", "port": 10250}
        assert {one.name for one in compare(node.look(), node.spec)} == {"port 10250, /configz"}
        return
    assert compare(node.look(), node.spec) == []
    assert node.look() == node.spec.kubelet


def test_healthy_node_satisfies_a_spec_of_its_version_alone(classic: Classic) -> None:
    node = classic()
    assert compare(node.look(), found(node)) == []


def argv(*flags: str) -> Callable[[FakeNode], None]:
    return lambda node: node.argv.extend(flags)


def account(**values: str) -> Callable[[FakeNode], None]:
    return lambda node: node.account.update(values)


def more(**values: Any) -> Callable[[FakeNode], None]:
    return lambda node: node.more.update(values)


def answer(name: str, status: int, body: str = "") -> Callable[[FakeNode], None]:
    return lambda node: node.answers.update({name: {"status": status, "body": body, "port": 10250}})


FOLDER = {"owner": "root", "group": "root", "mode": 0o777, "kind": "directory"}
FAULTS: dict[str, tuple[Callable[[FakeNode], None], set[str]]] = {
    "unit not found": (account(LoadState="not-found"), {"unit_is_loaded_from_its_file"}),
    "disabled": (account(UnitFileState="disabled", WantedBy=""), {"service_is_enabled"}),
    "not running": (account(ActiveState="failed", SubState="failed"), {"service_is_active"}),
    "restarts": (account(NRestarts="3"), {"service_does_not_restart"}),
    "not reloaded": (account(NeedDaemonReload="yes"), {"unit_is_loaded_from_its_file"}),
    "invalid": (
        more(verify={"status": 0, "output": f"{UNIT}:3: Unknown key 'Bogus'"}),
        {"unit_is_valid"},
    ),
    "failed unit": (more(failed_units=["broken.service"]), {"no_unit_failed"}),
    "no name server": (more(resolv_conf="options ndots:0\n"), {"resolv_conf_names_a_server"}),
    "two kubelets": (
        more(kubelets=[{"pid": 1, "argv": ["kubelet"]}, {"pid": 4711, "argv": ["kubelet"]}]),
        {"only_one_kubelet_runs"},
    ),
    "port of another": (
        more(holders={"10248": {"pid": 1, "argv": ["nc"]}}),
        {"ports_are_held_by_the_kubelet"},
    ),
    "not healthy": (answer("healthz", 500, "no"), {"healthz_is_ok"}),
    "anonymous access": (answer("anonymous", 200), {"anonymous_clients_are_refused"}),
    "own certificate refused": (answer("own_healthz", 401), {"own_certificate_is_answered"}),
    "another version": (
        more(version={"text": "v1.29.0", "source": "/metrics"}),
        {"version_is_that_of_the_spec"},
    ),
    "node-ip of nobody": (
        argv("--node-ip=192.0.2.7"),
        {"node_ip_is_on_an_interface", "command_line_is_that_of_the_unit"},
    ),
    "flag that the unit does not have": (
        argv("--max-pods=7"),
        {"command_line_is_that_of_the_unit"},
    ),
    "world-writable program": (
        lambda node: node.more.update(
            kubelet={
                **node.seen()["kubelet"],
                "program_file": {**FOLDER, "mode": 0o757, "kind": "file"},
            }
        ),
        {"program_is_owned_by_root"},
    ),
    "readable key": (
        lambda node: (node.root / KUBECONFIG[1:]).chmod(0o644),
        {"kubeconfig_is_readable_by_root_only"},
    ),
    "readable key of the CA": (
        lambda node: (node.root / "etc/kubernetes/ca.key").chmod(0o644),
        {"ca_key_is_readable_by_root_only"},
    ),
    "writable folder of static pods": (
        more(static_pods={"path": "/m", "file": {**FOLDER, "group": "staff"}, "names": []}),
        {"folders_are_owned_by_root"},
    ),
    "configuration of another kind": (
        lambda node: node.write("/etc/kubernetes/kubelet.yaml", "kind: Pod\n"),
        {"configuration_can_be_read"},
    ),
    "no kubeconfig": (
        lambda node: (node.root / KUBECONFIG[1:]).unlink(),
        {"kubeconfig_is_a_config"},
    ),
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.values(), ids=list(FAULTS))
def test_fault_is_found_with_no_statement_but_the_version(
    classic: Classic, fault: Callable[[FakeNode], None], names: set[str]
) -> None:
    node = classic()
    fault(node)
    assert failing(node, found(node)) >= names
    assert node.look() != found(node)


def test_complaint_about_another_unit_is_no_verdict_on_this_one(classic: Classic) -> None:
    node = classic()
    other = "/lib/systemd/system/other.service:9: Unknown key name 'X' in section 'Service'"
    node.more["verify"] = {"status": 1, "output": other}
    assert failing(node) == set()


@pytest.mark.parametrize(
    "folder", ["/usr/lib/systemd/system/service.d", "/etc/systemd/system/service.d"]
)
def test_drop_in_for_all_services_is_not_one_for_the_kubelet(classic: Classic, folder: str) -> None:
    node = classic()
    node.account["DropInPaths"] = f"{folder}/10-timeout-abort.conf"
    assert failing(node) == set()
    node.account["DropInPaths"] += " /etc/systemd/system/kubelet.service.d/10-x.conf"
    assert failing(node) == {"unit_is_loaded_from_its_file"}
    assert failing(node, found(node)) == set()


def test_unit_that_a_path_starts_is_enabled(classic: Classic) -> None:
    node = classic()
    node.account |= {"UnitFileState": "disabled", "WantedBy": ""}
    assert failing(node, found(node)) == {"service_is_enabled"}
    node.more["triggers"] = {"kubelet.path": {"UnitFileState": "enabled", "ActiveState": "active"}}
    assert failing(node, found(node)) == set()


def test_healthz_that_is_off_is_not_checked(classic: Classic) -> None:
    node = classic()
    node.more["ports"] = {"healthz": 0, "kubelet": 10250}
    assert "healthz is off" in reason(node, "healthz_is_ok")


def test_kubelet_without_a_node_ip(classic: Classic) -> None:
    node = classic()
    node.argv = [word for word in node.argv if "node-ip" not in word]
    node.write(UNIT, node.read(UNIT).replace("--node-ip", "--v=0 #"))
    assert reason(node, "node_ip_is_on_an_interface", found(node)) == "the kubelet has no --node-ip"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, "Forbidden (user=kubelet, verb=get)", "no right to nodes/proxy"),
        (500, "Authorization error (user=kubelet, verb=get)", "cannot ask the API server"),
    ],
)
def test_webhook_does_not_allow_the_kubelet_itself(
    classic: Classic, status: int, body: str, words: str
) -> None:
    node = classic()
    path = node.spec.kubelet.config_path
    node.write(path, node.read(path).replace("AlwaysAllow", "Webhook"))
    for name in ("own_healthz", "own_pods", "own_configz"):
        answer(name, status, body)(node)
    assert failing(node, found(node)) == set()
    assert words in reason(node, "pods_are_listed", found(node))
    answer("anonymous", status, body)(node)
    assert failing(node, found(node)) == set()
    answer("anonymous", 500, "panic")(node)
    assert failing(node, found(node)) == {"anonymous_clients_are_refused"}


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {"command": "aws", "args": ["eks", "get-token"]}},
        {"token": "abc"},
        {"tokenFile": "/var/run/token"},
    ],
)
def test_kubelet_without_a_certificate(classic: Classic, user: dict[str, Any]) -> None:
    node = classic()
    document = yaml.safe_load(node.read(KUBECONFIG))
    document["users"][0]["user"] = user
    node.write(KUBECONFIG, yaml.safe_dump(document))
    assert failing(node, found(node)) == set()
    assert "no certificate" in reason(node, "client_key_matches_its_certificate", found(node))


def test_same_value_in_other_words(classic: Classic) -> None:
    node = classic()
    flags = {
        "node-status-update-frequency": "60s",
        "feature-gates": "NodeSwap=true",
        "kube-reserved": "cpu=100m,memory=1Gi",
    }
    said = {
        "nodeStatusUpdateFrequency": "1m0s",
        "featureGates": {"NodeSwap": True},
        "kubeReserved": {"memory": "1024Mi", "cpu": "0.1"},
    }
    path = node.spec.kubelet.config_path
    node.write(path, node.read(path) + yaml.safe_dump(said))
    node.answers["own_configz"] = {"status": 403, "body": "", "port": 10250}
    spec = found(node, extra_flags=tuple(flags.items()))
    assert not failing(node, spec) & {
        "no_flag_is_missing",
        "every_flag_has_its_value",
        "every_setting_has_its_value",
    }
    flags["kube-reserved"] = "cpu=100m,memory=2Gi"
    spec = found(node, extra_flags=tuple(flags.items()))
    (difference,) = (one for one in compare(node.look(), spec) if one.name == "--kube-reserved")
    assert (difference.expected_in, difference.actual_in) == ("the spec", path)


def test_table_shows_which_side_has_an_empty_value() -> None:
    one = Difference("--cloud-provider", None, "", Evidence.PROCESS)
    assert difference_table([one])[1].split() == ["--cloud-provider", "(absent)", '""']


def test_certificate_of_an_old_ca_in_a_bundle(classic: Classic, tmp_path: Any) -> None:
    node = classic()
    other = ensure_pki(tmp_path / "other").ca_cert
    ca = node.read("/etc/kubernetes/ca.crt")
    node.write("/etc/kubernetes/ca.crt", other.decode() + ca, 0o644)
    assert failing(node, found(node)) == set()
    node.write("/etc/kubernetes/ca.crt", other, 0o644)
    assert failing(node, found(node)) == {
        "kubeconfig_trusts_the_ca_on_disk",
        "client_certificate_chains_to_the_ca_on_disk",
    }


@pytest.mark.parametrize(
    ("change", "actual"),
    [
        ({"current-context": "none"}, "current-context is 'none', which it does not have"),
        ({"contexts": [{"context": {"cluster": "vagrant", "user": "x"}}]}, "names user 'x'"),
        ({"clusters": []}, "names cluster 'vagrant'"),
    ],
)
def test_context_that_leads_nowhere(classic: Classic, change: dict[str, Any], actual: str) -> None:
    node = classic()
    document = yaml.safe_load(node.read(KUBECONFIG))
    node.write(KUBECONFIG, yaml.safe_dump({**document, **change}))
    assert failing(node, found(node)) == {"kubeconfig_names_a_cluster_and_a_user"}
    (difference,) = compare(node.look(), found(node))
    assert actual in (difference.actual or "")


def test_statements_of_files_hosts_and_identity(classic: Classic) -> None:
    node = classic()
    absent = found(node, own_files=(FileStatement("/etc/kubernetes/ca.key", absent=True),))
    node.spec = replace(node.spec, kubelet=replace(node.spec.kubelet, own_files=absent.own_files))
    assert failing(node, absent) == {"stated_files_are_as_stated"}
    user = found(node, identity=IdentityStatement(user="system:node:x"))
    assert failing(node, user) == {"client_certificate_names_its_user"}
    node.more["failed_units"] = ["broken.service"]
    assert failing(node, found(node, host=HostStatement(no_failed_units=False))) == set()
    node.more["resolved"] = {"ActiveState": "inactive"}
    assert failing(node, found(node)) == {"no_unit_failed"}
    demanded = found(node, host=HostStatement(resolver=True, no_failed_units=False))
    assert failing(node, demanded) == {"resolver_ran_before_the_kubelet"}


def test_kubelet_in_start_pre_has_not_come_before_the_resolver(classic: Classic) -> None:
    node = classic()
    node.account |= {"SubState": "start-pre", "ExecMainStartTimestampMonotonic": "0"}
    assert reason(node, "resolver_ran_before_the_kubelet") == "the kubelet was not started yet"


def test_kubelet_that_does_not_run_is_reported(classic: Classic) -> None:
    node = classic()
    node.more |= {"kubelet": None, "unit_processes": []}
    node.account |= {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
    case = case_of(node.look(), node.spec)
    (difference,) = checks()["kubelet_runs"](case)
    assert "kubelet.service is failed (failed), result exit-code" in str(difference.actual)
    node.more["kubelets"] = [{"pid": 7, "argv": ["kubelet"], "unit": "k0sworker.service"}]
    (difference,) = checks()["kubelet_runs"](case_of(node.look(), node.spec))
    assert '[unit] name = "k0sworker.service"' in str(difference.actual)
    node.more["kubelets"] = []
    node.more["unit_processes"] = [["/bin/sh", "/opt/start.sh"]]
    (difference,) = checks()["kubelet_runs"](case_of(node.look(), node.spec))
    assert "runs no kubelet and no hyperkube, only /bin/sh /opt/start.sh" in str(difference.actual)


def test_unit_is_compared_by_its_directives(classic: Classic) -> None:
    node = classic()
    text = node.read(UNIT)
    spaced = "# mine\n" + text.replace("Restart=always", "Restart = always  ")
    assert failing(node, found(node, unit_text=spaced)) == set()
    assert failing(node, found(node, unit_text=text.replace("=always", "=no"))) == {
        "unit_is_the_stated_one"
    }


@pytest.mark.parametrize(
    ("stated", "delay", "right"),
    [
        (10, "10s", True),
        (90, "1min 30s", True),
        (3600, "1h", True),
        (0, "0", True),
        (10, "1h", False),
        (10, "10ms", False),
        (10, "infinity", False),
        (0, "", False),
    ],
)
def test_stated_delay_of_restarts_is_compared_by_its_meaning(
    classic: Classic, stated: int, delay: str, right: bool
) -> None:
    node = classic()
    node.account["RestartUSec"] = delay
    spec = found(node, restart_seconds=stated)
    assert failing(node, spec) == (set() if right else {"unit_is_the_stated_one"})
    if not right:
        (difference,) = compare(node.look(), spec)
        assert difference.name == "unit RestartSec"
        assert (difference.expected, difference.actual) == (f"{stated}s", delay or None)


def test_delay_of_restarts_that_is_not_stated_cannot_differ(classic: Classic) -> None:
    node = classic()
    node.account["RestartUSec"] = "1h"
    assert failing(node, found(node)) == set()
    assert "restart_seconds" in reason(node, "unit_is_the_stated_one", found(node))


def test_environment_files_and_variables_make_the_command_line(classic: Classic) -> None:
    node = classic()
    flags = " ".join(node.argv[1:])
    node.write("/etc/default/kubelet", f'# flags\nKUBELET_FLAGS="{flags}"\nNAME=worker\n')
    node.write(
        UNIT,
        "[Service]\nEnvironment=NAME=x EXTRA=\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\n"
        f"ExecStart=-{node.argv[0]} $KUBELET_FLAGS $EXTRA \\\n  --hostname-override=${{NAME}}-1\n",
        0o644,
    )
    node.unit_files["/etc/default/kubelet"] = "environment"
    node.argv.append("--hostname-override=worker-1")
    assert failing(node, found(node)) == set()
    node.argv[-1] = "--hostname-override=x-1"
    assert failing(node, found(node)) == {"command_line_is_that_of_the_unit"}


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/nice -n 5 {}",
        "/usr/bin/env -i PATH=/bin {}",
        "/usr/bin/taskset -c 0,1 {}",
        "/usr/bin/timeout 1d {}",
        "/bin/sh -c 'exec {}'",
        "@{} node-agent",
        ":{}",
        "{} --hostname-override=%H --runonce=%m",
    ],
)
def test_command_around_the_kubelet_is_no_difference(classic: Classic, command: str) -> None:
    node = classic()
    node.argv.append("--provider-id=one")
    start = command.format(node.argv[0])
    flags = " ".join(node.argv[1:])
    node.write(UNIT, f"[Service]\nExecStart={start} {flags}\n", 0o644)
    if "%H" in command:
        node.argv += [f"--hostname-override={node.spec.name}", "--runonce=false"]
    assert failing(node, found(node)) == set()
    if "sh -c" not in command:
        node.argv[node.argv.index("--provider-id=one")] = "--provider-id=two"
        assert "command_line_is_that_of_the_unit" in failing(node, found(node))


def test_unit_that_left_the_kubelet_to_a_container_runtime_is_active(classic: Classic) -> None:
    node = classic()
    node.account |= {"SubState": "exited", "MainPID": "0"}
    node.more["kubelet"] = {**node.seen()["kubelet"], "main": False}
    assert failing(node, found(node)) == set()
    node.more["kubelet"] = None
    assert {"service_is_active", "kubelet_runs"} <= failing(node, found(node))


def test_difference_of_a_rendered_file_names_the_line(classic: Classic) -> None:
    node = classic()
    node.write(UNIT, node.read(UNIT).replace("Restart=always", "Restart=no"), 0o644)
    (difference,) = compare(node.look(), node.spec)
    assert difference.name == f"{UNIT} content"
    assert "'Restart=no'" in str(difference.actual)


def test_no_check_is_without_a_description() -> None:
    assert all(check.__doc__ for check in checks().values())
    assert len(checks()) > 40


def test_key_of_another_is_named(classic: Classic, tmp_path: Any) -> None:
    node = classic()
    document = yaml.safe_load(node.read(KUBECONFIG))
    key = ensure_pki(tmp_path / "other").kubelet_key
    document["users"][0]["user"]["client-key-data"] = base64.b64encode(key).decode()
    node.write(KUBECONFIG, yaml.safe_dump(document))
    assert "client_key_matches_its_certificate" in failing(node, found(node))


def beside_the_api(node: FakeNode, check: str, **stated: Any) -> list[Difference]:
    """Return what a check of the flags finds where the Node object is judged, too."""
    case = case_of(node.look(), found(node, **stated))
    with_api = replace(case, look_through_api=lambda: ApiView(node.spec.name, "https://server"))
    return list(checks()[check](with_api))


def test_operator_may_set_labels_and_taints_that_no_flag_states(classic: Classic) -> None:
    node = classic("1.30.4", "worker")
    node.argv = [one for one in node.argv if not one.startswith("--node-labels")]
    node.argv.append("--node-labels=zone=a,rack=3")
    check = "labels_are_those_of_the_spec"
    labels = (Label("zone", "a"), Label("tier", "gold"), Label("node-role.kubernetes.io/infra"))
    assert beside_the_api(node, check, labels=labels) == []
    (difference,) = checks()[check](case_of(node.look(), found(node, labels=labels)))
    assert (difference.expected, difference.actual) == ("tier=gold,zone=a", "zone=a")
    (difference,) = beside_the_api(node, check, labels=(Label("zone", "b"),))
    assert (difference.expected, difference.actual) == ("zone=b", "zone=a")


def test_flag_may_state_fewer_taints_than_the_object_has(classic: Classic) -> None:
    node = classic("1.30.4", "worker")
    node.argv.append("--register-with-taints=a=b:NoSchedule")
    check = "taints_are_those_of_the_role"
    taints = (Taint("a", "b", "NoSchedule"), Taint("c", "", "NoExecute"))
    assert beside_the_api(node, check, taints=taints) == []
    assert beside_the_api(node, check, taints=taints[1:])
    assert list(checks()[check](case_of(node.look(), found(node, taints=taints))))
