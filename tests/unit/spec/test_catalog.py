from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.translate import configz_fields
from pytest_kubecluster.spec.version import KubeVersion
from tests import make_facts

PFLAG_TYPES = {
    "[]api.Taint", "Level", "bool", "cidrs", "duration", "float64", "int", "int32", "int64", "ip",
    "mapStringString", "moduleSpec", "severity", "string", "stringSlice", "traceLocation",
    "version",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("address", "ip", "0.0.0.0"),
        ("boot-id-file", "string", "/proc/sys/kernel/random/boot_id"),
        ("cert-dir", "string", "/var/run/kubernetes"),
        ("cluster-dns", "stringSlice", "[]"),
        ("enforce-node-allocatable", "stringSlice", "[pods]"),
        ("housekeeping-interval", "duration", "10s"),
        ("kubeconfig", "string", "/var/lib/kubelet/kubeconfig"),
        ("loglevel", "int", "1"),
        ("max-open-files", "int64", "1000000"),
        ("minimum-container-ttl-duration", "duration", "0s"),
        ("node-labels", "mapStringString", ""),
        ("port", "int32", "10250"),
        ("register-schedulable", "bool", "true"),
        ("register-with-taints", "[]api.Taint", ""),
        ("require-kubeconfig", "bool", "false"),
        ("system-cgroups", "string", ""),
        ("v", "Level", "0"),
    ],
)
def test_types_and_defaults(name: str, kind: str, default: str) -> None:
    flag = catalog.flags("1.7")[name]
    assert (flag.name, flag.type, flag.default) == (name, kind, default)


def test_every_flag_of_1_7_has_a_type_and_a_default() -> None:
    known = catalog.flags("1.7")
    # 167 of any kubelet, 13 that hyperkube shows in its help, and --make-symlinks.
    assert len(known) == 167 + 13 + 1
    assert {flag.type for flag in known.values()} == PFLAG_TYPES
    assert [flag.name for flag in known.values() if flag.default is None] == []


def test_flags_that_never_take_the_next_argument() -> None:
    known = catalog.flags("1.7")
    assert known["allow-privileged"].boolean
    assert known["version"].boolean
    assert not known["node-ip"].boolean
    assert not known["v"].boolean


def test_warnings() -> None:
    known = catalog.flags("1.7")
    assert known["register-schedulable"].deprecated == "will be removed in a future version"
    assert known["experimental-bootstrap-kubeconfig"].deprecated is None, (
        "marked too early to count"
    )
    assert sum(flag.deprecated is not None for flag in known.values()) == 12


def test_hidden_flags() -> None:
    hidden = {flag.name for flag in catalog.flags("1.7").values() if flag.hidden}
    assert hidden == {
        "experimental-dockershim",
        "experimental-dockershim-root-directory",
        "make-symlinks",
    }


def test_where_flags_come_from() -> None:
    known = catalog.flags("1.7")
    assert known["node-ip"].origin == "kubelet"
    assert {known[name].origin for name in ("v", "version", "docker-root")} == {"library"}
    assert {known[name].origin for name in ("help", "ir-user", "loglevel")} == {"hyperkube"}


def test_other_minors() -> None:
    assert "fail-swap-on" not in catalog.flags("1.7")
    assert "fail-swap-on" in catalog.flags("1.8")
    assert "api-servers" not in catalog.flags("1.8")
    assert "ir-user" in catalog.flags("1.9")
    assert "ir-user" not in catalog.flags("1.10"), "its hyperkube adds nothing"
    assert catalog.flags("1.8")["cert-dir"].default is None, "not collected"


def test_fields_of_the_configuration_file() -> None:
    assert catalog.flags("1.9")["anonymous-auth"].field is None
    assert catalog.flags("1.10")["anonymous-auth"].field == "authentication.anonymous.enabled"
    assert catalog.flags("1.22")["register-with-taints"].field is None
    assert catalog.flags("1.23")["register-with-taints"].field == "registerWithTaints"
    assert catalog.flags("1.36")["node-ip"].field is None


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_fields_and_flags_agree(minor: str) -> None:
    fields = catalog.fields(minor)
    shown = configz_fields(KubeVersion.parse(minor))
    bound = {flag.name: flag.field for flag in catalog.flags(minor).values() if flag.field}
    assert bound.items() <= shown.items()
    assert {name: fields[path].flag for name, path in shown.items()} == {n: n for n in shown}


@pytest.mark.parametrize(
    ("name", "since", "removed", "instead"),
    [
        ("require-kubeconfig", None, "1.10", "drop it; --kubeconfig alone from 1.8"),
        ("fail-swap-on", "1.8", None, "the KubeletConfiguration field failSwapOn"),
        ("network-plugin", None, "1.24", "nothing (CRI runtime config)"),
        ("experimental-fail-swap-on", None, "1.14", "--fail-swap-on"),
        ("node-ip", None, None, None),
    ],
)
def test_history(name: str, since: str | None, removed: str | None, instead: str | None) -> None:
    assert catalog.history(name) == catalog.History(since, removed, instead)


def test_unknown_flag_has_no_history() -> None:
    assert catalog.history("no-such-flag") is None


def test_data_agrees_with_the_collected_facts() -> None:
    collected = os.environ.get("KUBE_FACTS")
    if not collected:
        pytest.skip("KUBE_FACTS does not name the collected facts (kubelet-flags.json)")
    versions = json.loads(Path(collected).read_text())["versions"]
    assert tuple(sorted(versions, key=make_facts.number)) == catalog.MINORS
    for minor, about in versions.items():
        seen = {name for name, minors in make_facts.SEEN.items() if minor in minors}
        known = {n: flag for n, flag in catalog.flags(minor).items() if n not in seen}
        added = set(known) - set(about["flags"])
        assert set(about["flags"]) <= set(known), minor
        assert {known[name].origin for name in added} <= {"hyperkube"}, minor
        assert not added or make_facts.number(minor) < 10, minor
        warned = {name for name, flag in known.items() if flag.deprecated is not None}
        assert warned == set(about["deprecated"]), minor


def test_an_unknown_minor() -> None:
    with pytest.raises(ValueError, match=r"unknown minor version of the kubelet: 1\.99"):
        catalog.flags("1.99")


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalog.flags("1.7")["port"] = None  # type: ignore[index]


def test_feature_gates() -> None:
    gates = catalog.feature_gates("1.7")
    assert len(gates) == 16
    assert gates["AppArmor"] == "beta true"
    assert catalog.feature_gates("1.30")["APIListChunking"] == "ga true locked"
    assert "AppArmor" not in catalog.feature_gates("1.36")


def test_fields_hold_values_of_flags() -> None:
    fields = catalog.fields("1.7")
    assert fields["authentication.x509.clientCAFile"].flag == "client-ca-file"
    assert fields["registerWithTaints"].flag == "register-with-taints"
    assert sum(field.flag is not None for field in fields.values()) == 108
    assert "registerWithTaints" not in catalog.fields("1.9")
    for minor in catalog.MINORS:
        flags = {field.flag for field in catalog.fields(minor).values() if field.flag}
        assert flags <= set(catalog.flags(minor))


def test_data_is_small_and_read_late() -> None:
    data = Path(catalog.__file__).parent / "data" / "kubelet.json"
    assert data.stat().st_size < 64 * 1024
    assert set(json.loads(data.read_text())["minors"]) >= set(catalog.MINORS)
    code = (
        "import pytest_kubecluster.plugin; from pytest_kubecluster.spec import catalog;"
        "print(catalog._data.cache_info().currsize)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "0"


HELP = """\
Available Flags:
      --address ip                 The address (default 0.0.0.0)
      --feature-gates string       Options are:
Accelerators=true|false (ALPHA - default=false)
      --lists stringSlice          Some (default [*])
      --max-open-files int         Files. (default 1000000)
      --name string                Quoted (default "x (default y)")
  -v, --v Level                    log level
      --version version[=true]     Print
      --yes                        Never
      --taints []api.Taint         Taints
      --root /                     Below `/`
"""


def test_help_texts_are_read() -> None:
    assert make_facts.read_help(HELP) == {
        "address": ("ip", "0.0.0.0"),
        "feature-gates": ("string", ""),
        "lists": ("stringSlice", "[*]"),
        "max-open-files": ("int64", "1000000"),
        "name": ("string", "x (default y)"),
        "v": ("Level", "0"),
        "version": ("version", "false"),
        "yes": ("bool", "false"),
        "taints": ("[]api.Taint", ""),
        "root": ("string", ""),
    }
    assert make_facts.GATE.findall(HELP) == ["Accelerators"]


def test_minors_are_folded() -> None:
    assert make_facts.ranges(["1.7", "1.8", "1.9", "1.12"]) == [[7, 9], [12, 12]]
    assert make_facts.marks({"1.7": "a", "1.8": "a", "1.9": "b"}) == [[7, 8, "a"], [9, 9, "b"]]
