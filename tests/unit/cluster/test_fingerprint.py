from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kubecluster.cluster import fingerprint as module
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.fingerprint import (
    Fingerprint,
    Step,
    fingerprint,
    machine_differences,
    next_step,
)
from pytest_kubecluster.cluster.registry import Record
from pytest_kubecluster.cluster.sources import Bundled, Docker, Hollow, Libvirt
from pytest_kubecluster.kubelet.binary import KubeletBinary
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.resources import provisioning

SPEC = cluster_spec()
SETTINGS = Settings(SPEC.version, network=SPEC.network)
IMAGE = "kubecluster-node:plain-1"

FLAGS = st.dictionaries(
    st.sampled_from(["v", "max-pods", "cluster-domain"]), st.sampled_from("123")
)
TOPOLOGIES = st.tuples(
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from(["10.17.5.0/24", "10.18.0.0/24", "10.17.5.0/28"]),
)


def made(topology: tuple[int, int, str], flags: dict[str, str | None]) -> ClusterSpec:
    masters, workers, network = topology
    return cluster_spec(masters, workers, IPv4Network(network)).with_flags(flags)


@given(TOPOLOGIES, TOPOLOGIES, FLAGS, FLAGS, st.booleans())
def test_decision(
    one: tuple[int, int, str],
    other: tuple[int, int, str],
    flags: dict[str, str | None],
    changed: dict[str, str | None],
    alive: bool,
) -> None:
    before, after = made(one, flags), made(other, changed)
    step = next_step(
        fingerprint(before, SETTINGS, IMAGE), fingerprint(after, SETTINGS, IMAGE), alive=alive
    )
    same_machines = [(n.name, n.address) for n in before] == [(n.name, n.address) for n in after]
    if not alive or not same_machines or before.network != after.network:
        assert step is Step.REBUILD
    elif before == after:
        assert step is Step.NOTHING
    else:
        assert step is Step.PROVISION


def test_another_image_or_provider_means_other_machines() -> None:
    first = fingerprint(SPEC, SETTINGS, IMAGE)
    assert fingerprint(SPEC, SETTINGS, "kubecluster-node:plain-2").machines != first.machines
    moved = replace(SETTINGS, machines=Libvirt())
    assert fingerprint(SPEC, moved, IMAGE).machines != first.machines


@pytest.mark.parametrize(
    ("machines", "real", "anew"),
    [(Libvirt(), True, True), (Libvirt(), False, False), (Docker(), True, False)],
)
def test_virtual_machines_are_rebuilt_for_a_kubelet_that_needs_another_cgroup_version(
    tmp_path: Path, machines: Bundled, real: bool, anew: bool
) -> None:
    def made_for(version: str) -> str:
        spec = cluster_spec(version=KubeVersion.parse(version))
        binary = KubeletBinary(tmp_path, "hyperkube", spec.version)
        settings = replace(SETTINGS, machines=machines, kubelet=binary if real else Hollow())
        return fingerprint(spec, settings, IMAGE).machines

    assert (made_for("1.18.20") != made_for("1.19.0")) is anew
    assert made_for("1.19.0") == made_for("1.36.0")


def test_cluster_whose_provisioning_did_not_end_is_provisioned() -> None:
    wanted = fingerprint(SPEC, SETTINGS, IMAGE)
    half = Fingerprint(wanted.machines, "")
    assert next_step(half, wanted, alive=True) is Step.PROVISION


def test_change_of_the_bundled_playbook_means_provisioning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(SPEC, SETTINGS, IMAGE)
    (tmp_path / "Vagrantfile").write_text((provisioning() / "Vagrantfile").read_text())
    (tmp_path / "playbook.yml").write_text("- hosts: none\n")
    monkeypatch.setattr(module, "provisioning", lambda: tmp_path)
    after = fingerprint(SPEC, SETTINGS, IMAGE)
    assert (after.machines == before.machines, after.provisioning == before.provisioning) == (
        True,
        False,
    )


def test_any_file_beside_the_users_playbook_counts(tmp_path: Path) -> None:
    (tmp_path / "playbook.yml").write_text("- hosts: all\n")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / ".git").mkdir()
    (tmp_path / "roles" / "node" / "files").mkdir(parents=True)
    own = replace(SETTINGS, playbook=tmp_path / "playbook.yml")

    def digest() -> str:
        return fingerprint(SPEC, own, IMAGE).provisioning

    before = digest()
    (tmp_path / ".git" / "index").write_bytes(b"DIRC\xff")
    (tmp_path / "roles" / "node" / "files" / ".nothing").mkdir()
    assert digest() == before
    (tmp_path / "roles" / "node" / "files" / "tool.gz").write_bytes(b"\x1f\x8b\xff")
    assert digest() != before


@pytest.mark.parametrize(
    ("nodes", "network", "provider", "expected"),
    [
        (["master01"], "10.17.5.0/24", "docker", "its nodes are master01, not master01, worker01"),
        (["master01", "worker01"], "10.9.0.0/24", "docker", "its network is 10.9.0.0/24, not"),
        (
            ["master01", "worker01"],
            "10.17.5.0/24",
            "libvirt",
            "its provider is libvirt, not docker",
        ),
        (["master01", "worker01"], "10.17.5.0/24", "docker", "made from another image"),
    ],
)
def test_difference_of_the_machines_is_named(
    nodes: list[str], network: str, provider: str, expected: str
) -> None:
    record = Record("a", "/project", 1, 0.0, "/sockets", network=network, provider=provider)
    record = replace(record, nodes=dict.fromkeys(nodes, "master"))
    spec = cluster_spec(1, 1, IPv4Network("10.17.5.0/24"))
    assert expected in machine_differences(record, spec, "docker")
