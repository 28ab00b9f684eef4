"""Breaks a node in each way a check is there for, and sees exactly the right checks fail.

It runs on each bundled layout. Scripts name places by shell variables, which ``shell`` sets.
"""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from pytest_kubecluster.artifacts.certificates import KeyPair, Request, node_serving
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.conformance import (
    test_files,
    test_kubeconfig,
    test_ports,
    test_process,
    test_recovery,
    test_service,
)
from pytest_kubecluster.conformance.conftest import disturb
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, LayoutName
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.parts import FileStatement, IdentityStatement
from pytest_kubecluster.spec.version import NEWEST
from tests.cluster.support import HEALTHY_SECONDS, shell

pytestmark = pytest.mark.kube_disruptive

UNIT, FLAGS = "$UNIT", "$FLAGS"
"""The unit, and the file that has the command line's flags."""
CONFIG, FILE = "$CONFIG", "$FILE"
"""The kubeconfig, and the configuration file of 1.10 on."""
CA, MANIFESTS = "$CA", "$MANIFESTS"
BYTES = "unit_has_the_rendered_bytes"
FLAG_BYTES = "the bytes of the file with the flags"
"""Stands for BYTES, or in the layout kubeadm for the check of the file that has them."""
OTHER_BYTES = "stated_files_are_as_stated"
SIGNED = "serving_certificate_is_signed_by_the_ca"
WEBHOOK = ("configz_agrees_with_the_spec", "configz_agrees_with_flags_and_files")
"""What a kubelet that has to ask an API server for permission does not show."""
# Which of these folders has the kubelet depends on its version.
PROGRAMS = (
    "for folder in /opt/hyperkube /opt/bin; do"
    " [ ! -d $folder ] || find $folder -type f -writable -exec chmod {mode} {{}} +; done"
)
CONFIG_BYTES = "kubeconfig_has_the_rendered_bytes"


def checks(*modules: ModuleType) -> dict[str, Callable[..., None]]:
    return {
        name.removeprefix("test_"): check
        for module in modules
        for name, check in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
    }


STATIC = checks(test_files, test_kubeconfig, test_ports, test_process, test_service)


def failing(node: Node, spec: ClusterSpec) -> set[str]:
    """Run every check that only looks, and return those that fail."""
    node.refresh()
    failed = set()
    arguments: dict[str, Any] = {"kube_node": node, "kube_spec": spec}
    if node.spec.kubelet.config:
        arguments["config_path"] = node.spec.kubelet.config_path
    for name, check in STATIC.items():
        if not inspect.signature(check).parameters.keys() <= arguments.keys():
            continue
        wanted = {key: arguments[key] for key in inspect.signature(check).parameters}
        try:
            check(**wanted)
        except (AssertionError, KeyError, ValueError):
            failed.add(name)
        except pytest.skip.Exception:
            continue
    return failed


def flag(pattern: str, replacement: str, *, restart: bool = True) -> str:
    """A script that edits a flag and restarts the kubelet."""
    edit = f"sed -i -E 's#{pattern}#{replacement}#' {FLAGS} && systemctl daemon-reload"
    return edit + (" && systemctl restart kubelet" if restart else "")


@dataclass(frozen=True)
class Breakage:
    script: str
    fails: frozenset[str]
    node: str = "master02"
    waits: bool = False
    """Whether the kubelet was restarted and has to come up before anybody looks."""
    flag: str = ""
    """The flag that is broken, which not every version has, or has on its command line."""
    last: int = NEWEST
    """The last minor that runs when it is broken like this."""
    layouts: tuple[LayoutName, ...] = BUNDLED_LAYOUTS
    """The layouts whose spec speaks of what is broken."""
    signed: bool = False
    """Whether a serving certificate that the CA signed does not fit afterwards."""


def breakage(
    script: str,
    *fails: str,
    node: str = "master02",
    waits: bool = False,
    flag: str = "",
    last: int = NEWEST,
    layouts: tuple[LayoutName, ...] = BUNDLED_LAYOUTS,
    signed: bool = False,
) -> Breakage:
    waits = waits or "restart kubelet" in script
    return Breakage(script, frozenset(fails), node, waits, flag, last, layouts, signed)


def expected(node: Node, fails: Collection[str], *, signed: bool = False) -> set[str]:
    """Return the checks that fail in the layout of a node."""
    kubelet = node.spec.kubelet
    in_unit = kubelet.layout != "kubeadm"
    found = {(BYTES if in_unit else OTHER_BYTES) if one == FLAG_BYTES else one for one in fails}
    if kubelet.signed_serving and signed:
        found.add(SIGNED)
    asks = kubelet.settings.get("authorization-mode") == "Webhook"
    # Without an API server to ask, it refuses its own certificate, unless it has no answer at all.
    if asks and "own_certificate_is_answered" not in found:
        found -= {*WEBHOOK}
    return found


ARTICLES: tuple[LayoutName, ...] = ("classic", "hardened")
"""The layouts with the article's unit: a lock file, and systemd-resolved."""


PORTS = (
    "healthz_is_ok",
    "anonymous_clients_are_refused",
    "own_certificate_is_answered",
    "pods_are_listed",
    "configz_agrees_with_the_spec",
)
STOPPED = (
    *PORTS,
    "service_is_active",
    "kubelet_runs",
    "version_is_that_of_the_spec",
    "no_flag_is_missing",
    "taints_are_those_of_the_role",
    "labels_are_those_of_the_spec",
    "node_ip_is_on_an_interface",
)

OWN = ("own_certificate_is_answered", "pods_are_listed", "configz_agrees_with_the_spec")

BREAKAGES = {
    "unit edited": breakage(f"echo '# mine' >>{UNIT}; systemctl daemon-reload", BYTES),
    "unit not reloaded": breakage(f"touch {UNIT}", "unit_is_loaded_from_its_file"),
    "drop-in": breakage(
        """
        mkdir -p /etc/systemd/system/kubelet.service.d
        printf '[Service]\\nNice=5\\n' >/etc/systemd/system/kubelet.service.d/nice.conf
        systemctl daemon-reload
        """,
        "unit_is_loaded_from_its_file",
    ),
    "unit given away": breakage(f"chown daemon {UNIT}", "unit_is_owned_by_root"),
    "unit writable by all": breakage(f"chmod 666 {UNIT}", "unit_is_owned_by_root", "unit_is_valid"),
    "unit invalid": breakage(
        f"sed -i 's/^Restart=always/Restart=always\\nBogus=1/' {UNIT}; systemctl daemon-reload",
        BYTES,
        "unit_is_valid",
    ),
    "disabled": breakage("systemctl disable kubelet", "service_is_enabled"),
    "stopped": breakage("systemctl stop kubelet", *STOPPED, signed=True),
    "restarting": breakage(
        """
        mkdir -p /run/systemd/system/kubelet.service.d
        printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/kubelet.service.d/now.conf
        systemctl daemon-reload
        for i in 1 2; do systemctl kill --signal=KILL --kill-who=main kubelet; sleep 1; done
        rm -r /run/systemd/system/kubelet.service.d
        systemctl daemon-reload
        """,
        "service_does_not_restart",
        waits=True,
    ),
    "failed unit": breakage("systemd-run --unit=broken --quiet false; sleep 0.5", "no_unit_failed"),
    "resolver stopped": breakage(
        "systemctl stop systemd-resolved", "resolver_ran_before_the_kubelet", layouts=ARTICLES
    ),
    "resolver too late": breakage(
        "systemctl restart systemd-resolved", "resolver_ran_before_the_kubelet", layouts=ARTICLES
    ),
    "no name server": breakage(
        "echo 'options ndots:0' >/etc/resolv.conf", "resolv_conf_names_a_server"
    ),
    "client CA closed": breakage(f"chmod 640 {CA}", "client_ca_is_owned_by_root"),
    "kubeconfig world-readable": breakage(
        f"chmod 644 {CONFIG}", "kubeconfig_is_readable_by_root_only"
    ),
    "CA key world-readable": breakage(
        "chmod 644 /etc/kubernetes/ca.key", "ca_key_is_readable_by_root_only", layouts=("classic",)
    ),
    "CA key given away": breakage(
        "chown daemon /etc/kubernetes/ca.key",
        "ca_key_is_readable_by_root_only",
        layouts=("classic",),
    ),
    "CA key damaged": breakage(
        "echo >>/etc/kubernetes/ca.key", "ca_key_has_the_rendered_bytes", layouts=("classic",)
    ),
    "CA key on the node": breakage(
        f'install -m 600 /dev/null "$(dirname {CA})/ca.key"',
        OTHER_BYTES,
        layouts=("kubeadm", "hardened"),
    ),
    "client certificate of another file": breakage(
        "rm /var/lib/kubelet/pki/kubelet-client-current.pem; "
        "install -m 600 /dev/null /var/lib/kubelet/pki/kubelet-client-current.pem",
        OTHER_BYTES,
        "client_key_matches_its_certificate",
        *OWN,
        layouts=("hardened",),
    ),
    "client CA missing": breakage(
        f"rm {CA}",
        "client_ca_has_the_rendered_bytes",
        "client_ca_is_owned_by_root",
        "kubeconfig_trusts_the_ca_on_disk",
        "client_certificate_chains_to_the_ca_on_disk",
    ),
    "another API server": breakage(
        f"sed -i 's#server: .*#server: https://10.0.0.1:443#' {CONFIG}",
        CONFIG_BYTES,
        "kubeconfig_names_the_api_server",
    ),
    "kubeconfig of another kind": breakage(
        f"sed -i 's/^kind: .*/kind: Pod/' {CONFIG}", CONFIG_BYTES, "kubeconfig_is_a_config"
    ),
    "taint dropped": breakage(
        flag("--register-with-taints=[^ ]*", ""),
        FLAG_BYTES,
        "no_flag_is_missing",
        "taints_are_those_of_the_role",
        "configz_agrees_with_the_spec",
        flag="register-with-taints",
    ),
    "taint on a worker": breakage(
        flag(
            "(--node-ip)",
            r"--register-with-taints=node-role.kubernetes.io/master=:NoSchedule \1",
        ),
        FLAG_BYTES,
        "no_flag_is_extra",
        "taints_are_those_of_the_role",
        node="worker01",
    ),
    "flag added": breakage(
        flag("(--node-ip)", r"--max-pods=50 \1"), FLAG_BYTES, "no_flag_is_extra"
    ),
    "flag removed": breakage(
        flag("--allow-privileged", ""),
        FLAG_BYTES,
        "no_flag_is_missing",
        "configz_agrees_with_the_spec",
        flag="allow-privileged",
    ),
    "another domain": breakage(
        flag("cluster.local", "example.org"),
        FLAG_BYTES,
        "every_flag_has_its_value",
        "configz_agrees_with_the_spec",
        flag="cluster-domain",
    ),
    "another label": breakage(
        flag("node-labels=[^ ]*", "node-labels=node-role.kubernetes.io/worker"),
        FLAG_BYTES,
        "every_flag_has_its_value",
        "labels_are_those_of_the_spec",
        "configz_agrees_with_the_spec",
        flag="node-labels",
    ),
    "node-ip of nobody": breakage(
        flag("node-ip=[^ ]*", "node-ip=192.0.2.77"),
        FLAG_BYTES,
        "every_flag_has_its_value",
        "node_ip_is_on_an_interface",
        signed=True,
    ),
    "anonymous access": breakage(
        flag("anonymous-auth=false", "anonymous-auth=true"),
        FLAG_BYTES,
        "every_flag_has_its_value",
        "anonymous_clients_are_refused",
        "configz_agrees_with_the_spec",
        flag="anonymous-auth",
    ),
    "folder writable by all": breakage(f"chmod 777 {MANIFESTS}", "folders_are_owned_by_root"),
    "folder gone": breakage(
        "rmdir /etc/kubernetes/cni/net.d", "folders_are_owned_by_root", layouts=ARTICLES
    ),
    "lock file writable by all": breakage(
        "chmod 666 /var/run/lock/kubelet.lock", "lock_file_is_owned_by_root", layouts=ARTICLES
    ),
    "program writable by all": breakage(PROGRAMS.format(mode="o+w"), "program_is_owned_by_root"),
    "static pod": breakage(f"echo '{{}}' >{MANIFESTS}/pod.json", "no_static_pod_is_unstated"),
    "context of a user that is not there": breakage(
        f"sed -i 's/user: [^ ].*/user: nobody/' {CONFIG}",
        CONFIG_BYTES,
        "kubeconfig_names_a_cluster_and_a_user",
        *OWN,
    ),
    "second kubelet": breakage(
        "cp /bin/sleep /opt/kubelet; systemd-run --unit=second --quiet /opt/kubelet 600",
        "only_one_kubelet_runs",
    ),
    "unit reloaded, kubelet not restarted": breakage(
        flag("(--node-ip)", r"--max-pods=50 \1", restart=False),
        FLAG_BYTES,
        "command_line_is_that_of_the_unit",
    ),
    "another host name": breakage("hostname another", "hostname_is_that_of_the_node", signed=True),
    # From 1.11 on a kubelet does not start with such a word.
    "word that is not a flag": breakage(
        flag("(--node-ip)", r"stray \1"), FLAG_BYTES, "kubelet_runs", last=10
    ),
}


@pytest.fixture
def node(request: pytest.FixtureRequest, kube_nodes: tuple[Node, ...]) -> Iterator[Node]:
    """A node to break; it is mended afterwards, and proved whole."""
    name = getattr(request, "param", "master02")
    nodes = {node.name: node for node in kube_nodes}
    if name not in nodes and not name.startswith("master"):
        pytest.skip(f"this cluster has no {name}")
    node = nodes.get(name, kube_nodes[0])
    shell(node, save(node))
    yield node
    shell(
        node,
        f"""
        systemctl stop second 2>/dev/null || true
        rm -rf /etc/systemd/system/kubelet.service.d {UNIT} /etc/kubernetes /opt/kubelet
        rm -f /var/run/lock/kubelet.lock
        {PROGRAMS.format(mode="go-w")}
        hostname {node.name}
        tar -xPpf /run/whole.tar; cat /run/resolv.conf >/etc/resolv.conf
        systemctl daemon-reload; systemctl reset-failed
        systemctl enable --quiet kubelet
        systemctl restart systemd-resolved; systemctl restart kubelet
        """,
    )
    node.wait_until_healthy(HEALTHY_SECONDS)
    assert node.refresh() == node.spec.kubelet


def has_writable_program(node: Node) -> bool:
    return bool(node.run("find", "/opt/hyperkube", "/opt/bin", "-type", "f", "-writable").stdout)


@pytest.mark.parametrize(
    ("node", "how"),
    [(how.node, how) for how in BREAKAGES.values()],
    ids=list(BREAKAGES),
    indirect=["node"],
)
def test_breakage(node: Node, how: Breakage, kube_spec: ClusterSpec) -> None:
    kubelet = node.spec.kubelet
    if kubelet.layout not in how.layouts:
        pytest.skip(f"the layout {kubelet.layout} states nothing of it")
    if how.flag and how.flag not in kubelet.flags:
        pytest.skip(f"kubelet {kubelet.version.number} has --{how.flag} in its file, or not at all")
    if kubelet.version.minor > how.last:
        pytest.skip(f"kubelet {kubelet.version.number} does not run when it is broken like this")
    if "program_is_owned_by_root" in how.fails and not has_writable_program(node):
        pytest.skip("a real kubelet is mounted read-only")
    shell(node, how.script)
    if how.waits:
        node.wait_until_healthy(HEALTHY_SECONDS)
    shown = {*kubelet.shown_by_configz, ""}
    hidden = set() if how.flag in shown else {"configz_agrees_with_the_spec"}
    fails = expected(node, how.fails - hidden, signed=how.signed)
    failed = failing(node, kube_spec)
    if "service_is_active" in fails:
        # Some versions exit with status 1 when they are stopped, and some have no labels.
        failed.discard("no_unit_failed")
        fails -= set() if kubelet.node_labels else {"labels_are_those_of_the_spec"}
        fails -= set() if kubelet.node_taints else {"taints_are_those_of_the_role"}
    assert failed == fails
    assert node.kubelet != node.spec.kubelet


def test_whole_node_passes_all(node: Node, kube_spec: ClusterSpec) -> None:
    assert failing(node, kube_spec) == set()


def test_another_executable(node: Node, kube_spec: ClusterSpec) -> None:
    path = f"/opt/hyperkube/{kube_spec.image_tag}/{node.spec.kubelet.executable}"
    # Not in /run, from which nothing can be executed.
    other = r"#!/usr/bin/python3\nprint(\"Kubernetes v1.0.0\")\n"
    shell(
        node, f"printf '{other}' >/opt/other; chmod 755 /opt/other; mount --bind /opt/other {path}"
    )
    try:
        assert failing(node, kube_spec) == {"version_is_that_of_the_spec"}
    finally:
        shell(node, f"umount {path}; rm /opt/other")


# -------------------------------------------------------------- the configuration file of 1.10 on

FILE_BYTES = "configuration_has_the_rendered_bytes"
CONFIGURATIONS = {
    "edited": breakage(f"echo '# mine' >>{FILE}", FILE_BYTES),
    "given away": breakage(f"chown daemon {FILE}", "configuration_is_readable_by_root_only"),
    "readable by all": breakage(f"chmod 666 {FILE}", "configuration_is_readable_by_root_only"),
    "gone": breakage(
        f"rm {FILE}",
        FILE_BYTES,
        "configuration_is_readable_by_root_only",
        "configuration_can_be_read",
        "every_setting_has_its_value",
    ),
    "another domain": breakage(
        f"sed -i s/cluster.local/example.org/ {FILE}; systemctl restart kubelet",
        FILE_BYTES,
        "every_setting_has_its_value",
        "configz_agrees_with_the_spec",
    ),
    "edited, kubelet not restarted": breakage(
        f"sed -i s/cluster.local/example.org/ {FILE}",
        FILE_BYTES,
        "every_setting_has_its_value",
        "configz_agrees_with_flags_and_files",
    ),
    "not YAML": breakage(
        f"echo '[' >>{FILE}",
        FILE_BYTES,
        "configuration_can_be_read",
        "every_setting_has_its_value",
    ),
    "without taints": breakage(
        f"sed -i '/^registerWithTaints/,/effect/d' {FILE}; systemctl restart kubelet",
        FILE_BYTES,
        "taints_are_those_of_the_role",
        "configz_agrees_with_the_spec",
        flag="register-with-taints",
    ),
    "anonymous access": breakage(
        f"sed -i '/anonymous:/,/enabled/s/false/true/' {FILE}; systemctl restart kubelet",
        FILE_BYTES,
        "every_setting_has_its_value",
        "anonymous_clients_are_refused",
        "configz_agrees_with_the_spec",
    ),
}


def lost(node: Node) -> str:
    """The file's content before it became unreadable."""
    readable = all(not one.problem for one in node.refresh().documents)
    return "" if readable else node.files[node.spec.kubelet.config_path].read_text()


@pytest.mark.parametrize("node", ["master01"], indirect=True)
@pytest.mark.parametrize("how", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_configuration(node: Node, how: Breakage, kube_spec: ClusterSpec) -> None:
    kubelet = node.spec.kubelet
    if not kubelet.config:
        pytest.skip(f"kubelet {kubelet.version.number} is given no --config: from 1.10 on it is")
    if how.flag and how.flag not in kubelet.config:
        pytest.skip(f"kubelet {kubelet.version.number} has --{how.flag} on its command line")
    shell(node, how.script)
    if how.waits:
        node.wait_until_healthy(HEALTHY_SECONDS)
    taints = {"taints_are_those_of_the_role"} if "registerWithTaints" in lost(node) else set()
    assert failing(node, kube_spec) == expected(node, how.fails | taints)
    assert node.kubelet != node.spec.kubelet


def test_healthz_off(node: Node, kube_spec: ClusterSpec) -> None:
    shell(node, flag("(--node-ip)", r"--healthz-port=0 \1"))
    wait_for_port(node, 10250)
    fails = {FLAG_BYTES, "no_flag_is_extra", "healthz_is_ok", *in_file(node, "healthzPort")}
    assert failing(node, kube_spec) == expected(node, fails)


def test_kubelet_port_moved(node: Node, kube_spec: ClusterSpec) -> None:
    shell(node, flag("(--node-ip)", r"--port=10251 \1"))
    node.wait_until_healthy(HEALTHY_SECONDS)
    wait_for_port(node, 10251)
    moved = {FLAG_BYTES, "no_flag_is_extra", *PORTS, *in_file(node, "port")} - {"healthz_is_ok"}
    moved = expected(node, moved, signed=True)
    assert failing(node, kube_spec) == moved
    shell(node, "systemd-run --unit=second --quiet python3 -m http.server 10250")
    wait_for_port(node, 10250)
    assert failing(node, kube_spec) == moved | {"ports_are_held_by_the_kubelet"}


def in_file(node: Node, field: str) -> set[str]:
    """The check that fails beside when a flag overrides a field of the configuration file."""
    return {"every_setting_has_its_value"} if field in node.spec.kubelet.configuration else set()


def wait_for_port(node: Node, port: int) -> None:
    script = (
        f"for i in $(seq 300); do ss -ltn | grep -q ':{port} ' && exit; sleep 0.1; done; exit 1"
    )
    shell(node, script)


# ------------------------------------------------------------------- certificates that do not fit


@pytest.fixture
def other_pki(tmp_path: Path) -> Pki:
    return ensure_pki(tmp_path / "other")


def put(node: Node, path: str, content: bytes) -> None:
    """Replace what is in a file, and keep whose it is."""
    encoded = base64.b64encode(content).decode()
    shell(node, f"printf %s '{encoded}' | base64 -d >{path}")


def edit_kubeconfig(node: Node, change: Callable[[dict[str, Any]], None]) -> None:
    path = node.spec.kubelet.kubeconfig
    config = yaml.safe_load(node.files[path].read_bytes())
    change(config)
    put(node, path, yaml.safe_dump(config).encode())


def put_identity(node: Node, cert: bytes, key: bytes) -> str:
    """Give the kubelet another client certificate; return the check of the file that has it."""
    files = {file.name: file.path for file in node.spec.kubelet.files}
    if path := files.get("kubelet-client.pem"):
        put(node, path, cert + key)
        return OTHER_BYTES

    def change(config: dict[str, Any]) -> None:
        user = config["users"][0]["user"]
        user |= {"client-certificate-data": encoded(cert), "client-key-data": encoded(key)}

    edit_kubeconfig(node, change)
    return CONFIG_BYTES


def identity(node: Node, pki: Pki) -> KeyPair:
    """The kubelet's own client certificate."""
    if node.spec.kubelet.layout == "classic":
        return KeyPair(pki.kubelet_cert, pki.kubelet_key)
    return pki.node_client(node.name)


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def test_client_ca_swapped(node: Node, kube_spec: ClusterSpec, other_pki: Pki) -> None:
    put(node, node.spec.kubelet.client_ca_file, other_pki.ca_cert)
    on_disk = {
        "client_ca_has_the_rendered_bytes",
        "kubeconfig_trusts_the_ca_on_disk",
        "client_certificate_chains_to_the_ca_on_disk",
    }
    # A kubeconfig that names the file trusts the same CA, and the certificate is still the old one's.
    if b"certificate-authority:" in node.files[node.spec.kubelet.kubeconfig].read_bytes():
        on_disk -= {"kubeconfig_trusts_the_ca_on_disk"}
    on_disk = expected(node, on_disk, signed=True)
    refused = {"own_certificate_is_answered", "pods_are_listed", "configz_agrees_with_the_spec"}
    # The kubelet has the old one until it is restarted, or from 1.17 on until it sees the new one;
    # then it no longer accepts its own certificate.
    failed = failing(node, kube_spec)
    reloads = kube_spec.version.minor >= 17
    # It may see the new one between two requests of one look.
    assert on_disk <= failed <= on_disk | (refused if reloads else set())
    shell(node, "systemctl restart kubelet")
    node.wait_until_healthy(HEALTHY_SECONDS)
    assert failing(node, kube_spec) == on_disk | refused
    assert node.kubelet.own.status == 401


def test_kubeconfig_trusts_another_ca(node: Node, kube_spec: ClusterSpec, other_pki: Pki) -> None:
    def change(config: dict[str, Any]) -> None:
        cluster = config["clusters"][0]["cluster"]
        cluster.pop("certificate-authority", None)
        cluster["certificate-authority-data"] = encoded(other_pki.ca_cert)

    edit_kubeconfig(node, change)
    assert failing(node, kube_spec) == {CONFIG_BYTES, "kubeconfig_trusts_the_ca_on_disk"}


def test_client_key_of_another(
    node: Node, kube_spec: ClusterSpec, kube_pki: Pki, other_pki: Pki
) -> None:
    where = put_identity(node, identity(node, kube_pki).cert, other_pki.kubelet_key)
    assert failing(node, kube_spec) == {
        where,
        "client_key_matches_its_certificate",
        "own_certificate_is_answered",
        "pods_are_listed",
        "configz_agrees_with_the_spec",
    }


EXPIRED = timedelta(days=-1)


def test_serving_certificate_expired(node: Node, kube_spec: ClusterSpec, kube_pki: Pki) -> None:
    name, addresses = node.name, (node.address,)
    expired = kube_pki.authority.issue(node_serving(name, addresses, lifetime=EXPIRED))
    assert serve(node, expired) | {"serving_certificate_is_valid_now"} == failing(node, kube_spec)


def test_serving_certificate_of_another_ca(
    node: Node, kube_spec: ClusterSpec, other_pki: Pki
) -> None:
    if not node.spec.kubelet.signed_serving:
        pytest.skip(f"the layout {node.spec.kubelet.layout} does not say who signs it")
    other = other_pki.authority.issue(node_serving(node.name, (node.address,)))
    assert serve(node, other) | {SIGNED} == failing(node, kube_spec)


def serve(node: Node, serving: KeyPair) -> set[str]:
    """Let the kubelet serve another certificate; return the checks of what was edited for that."""
    kubelet = node.spec.kubelet
    if kubelet.signed_serving:
        put(node, kubelet.settings["tls-cert-file"], serving.cert)
        put(node, kubelet.settings["tls-private-key-file"], serving.key)
        shell(node, "systemctl restart kubelet")
        fails = {OTHER_BYTES}
    else:
        put(node, "/etc/kubernetes/serving.crt", serving.cert)
        put(node, "/etc/kubernetes/serving.key", serving.key)
        flags = "--tls-cert-file=/etc/kubernetes/serving.crt"
        flags += " --tls-private-key-file=/etc/kubernetes/serving.key"
        shell(node, flag("(--node-ip)", rf"{flags} \1"))
        fails = expected(node, {FLAG_BYTES, "no_flag_is_extra"})
    node.wait_until_healthy(HEALTHY_SECONDS)
    return fails


def test_client_certificate_expired(node: Node, kube_spec: ClusterSpec, kube_pki: Pki) -> None:
    own = identity(node, kube_pki)
    subject = own.certificate.subject
    expired = kube_pki.authority.issue(Request(subject, client=True, lifetime=EXPIRED), key=own.key)
    where = put_identity(node, expired.cert, expired.key)
    assert failing(node, kube_spec) == {
        where,
        "client_certificate_is_valid_now",
        "own_certificate_is_answered",
        "pods_are_listed",
        "configz_agrees_with_the_spec",
    }


# --------------------------------------------------------------------------------- disturbances


def quickly(node: Node) -> Node:
    """The same node with a spec that allows a second to come back, so that failing takes no more."""
    kubelet = replace(node.spec.kubelet, restart_seconds=1)
    return Node(replace(node.spec, kubelet=kubelet), node.access)


def recovery(name: str) -> Callable[..., None]:
    return checks(test_recovery)[name]


def test_kubelet_that_is_not_restarted(node: Node) -> None:
    shell(node, f"sed -i 's/^Restart=always/Restart=no/' {UNIT}; systemctl daemon-reload")
    outcome = disturb(quickly(node), "kill", margin=1)
    with pytest.raises(AssertionError):
        recovery("2_systemd_brings_the_kubelet_back_after_kill_9")(node, outcome)
    shell(node, "systemctl start kubelet")
    node.wait_until_healthy(HEALTHY_SECONDS)
    if not node.spec.kubelet.lock_file:
        return
    outcome = disturb(quickly(node), "open-lock", margin=1)
    recovery("1_kubelet_gives_up_its_lock_when_it_is_contended")(node, outcome)
    with pytest.raises(AssertionError):
        recovery("1_systemd_brings_the_kubelet_back_after_contention")(node, outcome)


def test_kubelet_that_keeps_its_lock(node: Node) -> None:
    if not node.spec.kubelet.lock_file:
        pytest.skip(f"the layout {node.spec.kubelet.layout} has no lock file")
    shell(node, f"sed -i '/exit-on-lock-contention/d' {UNIT}; systemctl daemon-reload")
    shell(node, "systemctl restart kubelet")
    node.wait_until_healthy(HEALTHY_SECONDS)
    outcome = disturb(quickly(node), "open-lock", margin=1)
    with pytest.raises(AssertionError, match="kept running"):
        recovery("1_kubelet_gives_up_its_lock_when_it_is_contended")(node, outcome)


def test_kubelet_that_does_not_start_at_boot(node: Node) -> None:
    shell(node, "systemctl disable --quiet kubelet")
    before = node.refresh().unit["ExecMainStartTimestampMonotonic"]
    node.reboot()
    outcome = {"before": before, "view": node.refresh()}
    with pytest.raises(AssertionError):
        recovery("3_kubelet_comes_back_after_a_reboot")(node, outcome)
    # /run is gone with the reboot: what is on the disk is whole, but for being enabled.
    shell(node, save(node))


def save(node: Node) -> str:
    """A script that saves what breakages change."""
    paths = {file.path for file in node.spec.kubelet.files} | {"/etc/kubernetes"}
    if any(file.rotated for file in node.spec.kubelet.files):
        paths.add("/var/lib/kubelet/pki")
    return (
        f"tar -cPf /run/whole.tar {' '.join(sorted(paths))}; cp /etc/resolv.conf /run/resolv.conf"
    )


# -------------------------------------------------------------------------- statements of a spec


def stating(node: Node, **stated: Any) -> Node:
    """The same node with a spec that states more."""
    kubelet = replace(node.spec.kubelet, **stated)
    return Node(replace(node.spec, kubelet=kubelet), node.access)


@pytest.mark.parametrize(
    ("stated", "fails"),
    [
        ({"own_files": (FileStatement("/etc/hosts", mode=0o600),)}, "stated_files_are_as_stated"),
        ({"own_files": (FileStatement("/etc/hosts", absent=True),)}, "stated_files_are_as_stated"),
        ({"identity": IdentityStatement(user="another")}, "client_certificate_names_its_user"),
        ({"unit_environment_files": ("/etc/default/x",)}, "unit_is_the_stated_one"),
        ({"hostname": "another"}, "hostname_is_that_of_the_node"),
    ],
)
def test_statement_that_does_not_hold(
    kube_node: Node, kube_spec: ClusterSpec, stated: dict[str, Any], fails: str
) -> None:
    broken = stating(kube_node, **stated)
    flags = {"no_flag_is_missing", BYTES, "every_flag_has_its_value"}
    if "hostname" in stated:
        # Its certificates are for the name that it has.
        flags |= {"client_certificate_names_its_user"}
    assert failing(broken, kube_spec) - flags == {fails}


def test_every_check_has_its_breakage() -> None:
    """A check that no breakage of this file names could never fail, for all we know."""
    source = Path(__file__).read_text()
    breakages = [*BREAKAGES.values(), *CONFIGURATIONS.values()]
    named = {name for how in breakages for name in how.fails}
    unnamed = [
        name
        for name in {**STATIC, **checks(test_recovery)}
        if name not in named and not re.search(rf'"{name}"', source)
    ]
    assert unnamed == []
