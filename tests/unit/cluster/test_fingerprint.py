from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kubecluster import cli as command
from pytest_kubecluster.cluster import fingerprint as reuse
from pytest_kubecluster.cluster import registry as state
from pytest_kubecluster.cluster.config import Bundled, Docker, Hollow, Libvirt, Settings
from pytest_kubecluster.cluster.fingerprint import Fingerprint, Step, fingerprint, next_step
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import KubeletBinary
from pytest_kubecluster.spec.model import ClusterSpec, cluster_spec
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


def test_another_image_or_provider_is_another_cluster() -> None:
    first = fingerprint(SPEC, SETTINGS, IMAGE)
    assert fingerprint(SPEC, SETTINGS, "kubecluster-node:plain-2").machines != first.machines
    moved = replace(SETTINGS, machines=Libvirt())
    assert fingerprint(SPEC, moved, IMAGE).machines != first.machines


@pytest.mark.parametrize(
    ("machines", "real", "anew"),
    [(Libvirt(), True, True), (Libvirt(), False, False), (Docker(), True, False)],
)
def test_machines_with_a_kernel_of_their_own_are_booted_anew_for_kubelets_that_want_another(
    tmp_path: Path, machines: Bundled, real: bool, anew: bool
) -> None:
    def made_for(version: str) -> str:
        spec = cluster_spec(version=KubeVersion.parse(version))
        binary = KubeletBinary(tmp_path, "hyperkube", spec.version)
        settings = replace(SETTINGS, machines=machines, kubelet=binary if real else Hollow())
        return fingerprint(spec, settings, IMAGE).machines

    assert (made_for("1.18.20") != made_for("1.19.0")) is anew
    assert made_for("1.19.0") == made_for("1.36.0")


def test_what_was_never_provisioned_is_provisioned() -> None:
    wanted = fingerprint(SPEC, SETTINGS, IMAGE)
    half = Fingerprint(wanted.machines, "")
    assert next_step(half, wanted, alive=True) is Step.PROVISION


def test_another_playbook_means_provisioning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(SPEC, SETTINGS, IMAGE)
    (tmp_path / "Vagrantfile").write_text((provisioning() / "Vagrantfile").read_text())
    (tmp_path / "playbook.yml").write_text("- hosts: none\n")
    monkeypatch.setattr(reuse, "provisioning", lambda: tmp_path)
    after = fingerprint(SPEC, SETTINGS, IMAGE)
    assert (after.machines == before.machines, after.provisioning == before.provisioning) == (
        True,
        False,
    )


def test_files_beside_ones_own_playbook_count_whatever_they_are(tmp_path: Path) -> None:
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


# --------------------------------------------------------------------------------------- registry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "kubecluster"


def release(folder: state.ClusterFolder) -> None:
    folder.lock.release()


def test_abandoned_is_what_nobody_holds_or_keeps(registry: Path, tmp_path: Path) -> None:
    held = state.create_cluster_folder(tmp_path, "held")
    kept = state.create_cluster_folder(tmp_path, "kept")
    kept.keep()
    release(state.create_cluster_folder(tmp_path, "left"))
    found = list(state.abandoned_clusters())
    assert [folder.name for folder in found] == ["left"]
    for folder in (*found, held):
        folder.remove(keep_logs=False)
    assert [folder.name for folder in state.all_clusters()] == ["kept"]
    assert state.kept_cluster(tmp_path) is not None
    assert state.kept_cluster(tmp_path / "elsewhere") is None
    kept.remove(keep_logs=False)


def test_gc_removes_what_can_be_where_something_cannot(
    registry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def check_tools(source: str) -> None:
        if source == "libvirt":
            raise KubeClusterError("libvirt does not answer")

    monkeypatch.setattr(command, "check_tools", check_tools)
    for name, provider in (("a", "libvirt"), ("b", "inventory")):
        folder = state.create_cluster_folder(tmp_path, name)
        folder.write(provider=provider)
        release(folder)
    assert command._gc(Namespace()) == command.FAILED
    said = capsys.readouterr()
    assert said.out == "removed cluster b\n"
    assert said.err == "kubecluster: cluster a is left: libvirt does not answer\n"
    (left,) = state.abandoned_clusters()
    assert left.name == "a"
    left.remove(keep_logs=False)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 0}', '{"name": "x"}', '{"format": 1, "more": 1}']
)
def test_record_that_cannot_be_read_is_abandoned(
    content: str, registry: Path, tmp_path: Path
) -> None:
    folder = state.create_cluster_folder(tmp_path, "broken")
    sockets = folder.sockets
    folder.keep()
    (folder.path / "cluster.json").write_text(content)
    (found,) = state.abandoned_clusters()
    assert found.record is None
    found.remove(keep_logs=False)
    assert state.all_clusters() == []
    sockets.rmdir()


@pytest.mark.parametrize("name", ["a/b", "..", "", "-a", "a-", "A", "a" * 41, "a b"])
def test_name_that_is_none(name: str, registry: Path, tmp_path: Path) -> None:
    for use in (state.find_cluster, lambda n: state.create_cluster_folder(tmp_path, n)):
        with pytest.raises(KubeClusterError, match="is no name of a cluster"):
            use(name)
    assert not registry.exists()


def test_unknown_name_is_answered_with_those_there_are(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="there is no cluster a; there are: none"):
        state.find_cluster("a")
    folder = state.create_cluster_folder(tmp_path, "b")
    with pytest.raises(KubeClusterError, match="there is no cluster a; there are: b"):
        state.find_cluster("a")
    with pytest.raises(KubeClusterError, match="cluster b is in use"):
        state.create_cluster_folder(tmp_path, "b")
    folder.remove(keep_logs=False)


def test_logs_of_the_last_runs_are_kept(registry: Path, tmp_path: Path) -> None:
    for _ in range(14):
        folder = state.create_cluster_folder(tmp_path)
        (folder.logs / "log").write_text("x")
        folder.remove(keep_logs=True)
    assert len(list((registry / "logs").iterdir())) == 11
