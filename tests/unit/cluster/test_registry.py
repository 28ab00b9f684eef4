from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest

from pytest_kubecluster.cli import clusters as command
from pytest_kubecluster.cli import inspect
from pytest_kubecluster.cli.common import DONE, FAILED
from pytest_kubecluster.cluster import registry as module
from pytest_kubecluster.cluster import removal
from pytest_kubecluster.cluster.registry import (
    ClusterFolder,
    abandoned_clusters,
    all_clusters,
    create_cluster_folder,
    find_cluster,
    kept_cluster,
)
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.base import BundledMachines, Machines
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.existing.inventory import InventoryMachines
from pytest_kubecluster.machines.existing.vagrantfile import VagrantfileMachines
from pytest_kubecluster.machines.vm.libvirt import LibvirtMachines
from pytest_kubecluster.machines.vm.virtualbox import VirtualBoxMachines
from pytest_kubecluster.nodes import pin
from pytest_kubecluster.nodes.pin import Pin
from pytest_kubecluster.util.paths import is_plain


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path / "kubecluster"
    for folder in all_clusters():
        if record := folder.read():
            shutil.rmtree(record.sockets)


def abandon(folder: ClusterFolder) -> None:
    folder.lock.release()


def names(folders: list[ClusterFolder]) -> list[str]:
    return [folder.name for folder in folders]


def test_cluster_is_abandoned_if_it_is_neither_used_nor_kept(
    registry: Path, tmp_path: Path
) -> None:
    used = create_cluster_folder(tmp_path, "used")
    kept = create_cluster_folder(tmp_path, "kept")
    kept.keep()
    abandon(create_cluster_folder(tmp_path, "left"))
    found = list(abandoned_clusters())
    assert names(found) == ["left"]
    for folder in (*found, used):
        folder.remove(keep_logs=False)
    assert names(all_clusters()) == ["kept"]
    assert kept_cluster(tmp_path) is not None
    assert kept_cluster(tmp_path / "elsewhere") is None
    kept.remove(keep_logs=False)


USE = """\
import os, sys
from pytest_kubecluster.cluster.registry import find_cluster
kept = find_cluster("kept")
assert kept.try_lock()
kept.take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_kept_cluster_stays_kept_if_the_run_that_uses_it_is_killed(
    registry: Path, tmp_path: Path
) -> None:
    kept = create_cluster_folder(tmp_path, "kept")
    kept.keep()
    process = subprocess.Popen(
        [sys.executable, "-c", USE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    record = kept.read()
    assert record is not None
    assert (record.pid, kept.in_use(), kept.is_kept()) == (process.pid, True, True)
    assert kept_cluster(tmp_path) is None, "it is used by another process"
    process.kill()
    process.communicate()
    assert (kept.in_use(), kept.is_kept()) == (False, True)
    assert list(abandoned_clusters()) == []
    found = kept_cluster(tmp_path)
    assert found is not None
    assert found.name == "kept"


def test_asking_whether_a_cluster_is_in_use_takes_no_lock(registry: Path, tmp_path: Path) -> None:
    folder = create_cluster_folder(tmp_path, "a")
    assert find_cluster("a").in_use()
    abandon(folder)
    other = find_cluster("a")
    assert not other.in_use()
    assert other.try_lock()
    other.remove(keep_logs=False)
    assert not other.in_use()


def test_role_of_each_node_is_recorded(registry: Path, tmp_path: Path) -> None:
    folder = create_cluster_folder(tmp_path, "a")
    folder.write(nodes={"etcd": "master", "worker01": "worker"})
    record = find_cluster("a").read()
    assert record is not None
    assert record.nodes == {"etcd": "master", "worker01": "worker"}
    folder.remove(keep_logs=False)


def test_layout_is_recorded_and_classic_in_records_without_it(
    registry: Path, tmp_path: Path
) -> None:
    folder = create_cluster_folder(tmp_path, "a")
    folder.write(layout="found")
    record = find_cluster("a").read()
    assert record is not None
    assert record.layout == "found"
    path = folder.path / "cluster.json"
    fields = json.loads(path.read_text())
    del fields["layout"]
    path.write_text(json.dumps(fields))
    record = find_cluster("a").read()
    assert record is not None
    assert record.layout == "classic"
    folder.remove(keep_logs=False)


@pytest.mark.parametrize("layout", ["classic", "found"])
def test_node_of_a_kept_cluster_is_pinned_by_the_layout_of_its_cluster(
    registry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: str,
) -> None:
    folder = create_cluster_folder(tmp_path, "a")
    folder.write(nodes={"w1": "worker"}, layout=layout)
    folder.keep()

    def pin_node(name: str, role: str, access: Access, layout: str, *, minimal: bool) -> Pin:
        return Pin(f"{name} {role} {layout} {minimal}\n", ())

    monkeypatch.setattr(pin, "pin_node", pin_node)
    session = SimpleNamespace(settings=SimpleNamespace(machines=SimpleNamespace(existing=False)))
    monkeypatch.setattr(inspect, "session_of", lambda options: session)
    arguments = Namespace(options=[], seen="w1", name="a", minimal=True, json=False)
    assert inspect._spec(arguments) == DONE
    assert capsys.readouterr().out == f"w1 worker {layout} True\n"


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("docker", ContainerMachines),
        ("libvirt", LibvirtMachines),
        ("virtualbox", VirtualBoxMachines),
        ("inventory", InventoryMachines),
        ("vagrantfile", VagrantfileMachines),
    ],
)
def test_machines_of_a_cluster_are_those_of_its_record(
    registry: Path, tmp_path: Path, provider: str, kind: type[Machines]
) -> None:
    folder = create_cluster_folder(tmp_path, "a")
    folder.write(provider=provider, source="/src", to_destroy=("boss",), to_halt=("hand",))
    machines = removal.machines_of(folder)
    assert type(machines) is kind
    if isinstance(machines, BundledMachines):
        assert machines.name == "a"
    if isinstance(machines, VagrantfileMachines):
        wanted = VagrantfileMachines(
            Path("/src"), folder.logs, to_destroy=("boss",), to_halt=("hand",)
        )
        assert vars(machines) == vars(wanted)
    folder.remove(keep_logs=False)


def test_gc_removes_what_it_can(
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
        folder = create_cluster_folder(tmp_path, name)
        folder.write(provider=provider)
        abandon(folder)
    assert command._gc(Namespace()) == FAILED
    said = capsys.readouterr()
    assert said.out == "removed cluster b\n"
    assert said.err == "kubecluster: cluster a was not removed: libvirt does not answer\n"
    (left,) = abandoned_clusters()
    assert left.name == "a"
    left.remove(keep_logs=False)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 0}', '{"name": "x"}', '{"format": 2, "more": 1}']
)
def test_cluster_whose_record_cannot_be_read_is_abandoned(
    content: str, registry: Path, tmp_path: Path
) -> None:
    folder = create_cluster_folder(tmp_path, "broken")
    sockets = folder.sockets()
    folder.keep()
    (folder.path / "cluster.json").write_text(content)
    (found,) = abandoned_clusters()
    assert found.read() is None
    found.remove(keep_logs=False)
    assert all_clusters() == []
    sockets.rmdir()


def test_kept_cluster_of_another_version_of_the_plugin_is_not_abandoned(
    registry: Path, tmp_path: Path
) -> None:
    folder = create_cluster_folder(tmp_path, "other")
    folder.keep()
    path = folder.path / "cluster.json"
    record = path.read_text()
    path.write_text(json.dumps({**json.loads(record), "format": 99, "more": 1}))
    assert folder.read() is None
    assert list(abandoned_clusters()) == []
    assert folder.is_kept()
    path.write_text(record)


@pytest.mark.parametrize("name", ["a/b", "..", "", "-a", "a-", "A", "a" * 41, "a b"])
def test_invalid_name_is_refused(name: str, registry: Path, tmp_path: Path) -> None:
    for use in (find_cluster, lambda n: create_cluster_folder(tmp_path, n)):
        with pytest.raises(KubeClusterError, match="is not a cluster name"):
            use(name)
    assert not registry.exists()


def test_unknown_name_is_answered_with_the_known_ones(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="there is no cluster a; there are: none"):
        find_cluster("a")
    folder = create_cluster_folder(tmp_path, "b")
    with pytest.raises(KubeClusterError, match="there is no cluster a; there are: b"):
        find_cluster("a")
    with pytest.raises(KubeClusterError, match="cluster b is in use"):
        create_cluster_folder(tmp_path, "b")
    folder.remove(keep_logs=False)


def test_logs_of_the_last_runs_are_kept(registry: Path, tmp_path: Path) -> None:
    used = create_cluster_folder(tmp_path, "used")
    os.utime(used.logs, (0, 0))
    for _ in range(14):
        folder = create_cluster_folder(tmp_path)
        (folder.logs / "log").write_text("x")
        folder.remove(keep_logs=True)
    assert used.logs.is_dir(), "logs of a cluster that exists are not old"
    assert len(list((registry / "logs").iterdir())) == 12
    used.remove(keep_logs=False)


# ---------------------------------------------------------------------------------------- removal


def test_files_that_cannot_be_removed_are_named_and_the_cluster_is_found_again(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_cluster_folder(tmp_path, "stuck")
    pki = folder.subfolder("pki")
    folder.keep()
    assert folder.try_lock()
    real = shutil.rmtree

    def rmtree(path: Path) -> None:
        if Path(path) == pki:
            raise PermissionError(1, "Operation not permitted", str(pki / "ca.key"))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    monkeypatch.setattr(module, "_REMOVE_PAUSE", 0.0)
    folder.disown()
    message = "its files are not:\n  - .*/pki/ca.key: Operation not permitted\n.*kubecluster gc"
    with pytest.raises(KubeClusterError, match=message):
        folder.remove(keep_logs=False)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (found,) = abandoned_clusters()
    assert found.read() is not None
    found.remove(keep_logs=False)
    assert not pki.exists()
    assert all_clusters() == []


def test_removal_that_is_cut_short_is_completed_by_gc(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_cluster_folder(tmp_path, "kept")
    folder.keep()
    assert folder.try_lock()

    class Machines:
        def destroy(self) -> None:
            raise KubeClusterError("Docker does not answer")

    monkeypatch.setattr(removal, "machines_of", lambda folder: Machines())
    with pytest.raises(KubeClusterError, match="Docker does not answer"):
        removal.remove_cluster(folder, keep_logs=False)
    (found,) = abandoned_clusters()
    assert found.name == "kept"
    found.remove(keep_logs=False)


FULL = dedent(
    """
    import sys
    from pathlib import Path
    from pytest_kubecluster.cluster.registry import all_clusters, create_cluster_folder
    from pytest_kubecluster.errors import KubeClusterError
    try:
        create_cluster_folder(Path("/project"), "a")
    except KubeClusterError as error:
        print(error)
    print([folder.name for folder in all_clusters()])
    """
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize(
    ("option", "message"),
    [("ro", "Read-only file system"), ("size=4k,nr_inodes=3", "No space left on device")],
)
def test_state_folder_that_cannot_be_written_is_one_clear_message(
    option: str, message: str, tmp_path: Path
) -> None:
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && exec "$3" -c "$4"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", option, tmp_path, sys.executable, FULL],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert message in done.stdout, done.stderr
    assert "[]" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("folder", "linked"), [("state", False), ('s "%h"\n', True)])
def test_path_of_a_cluster_can_be_written_into_any_configuration(
    folder: str, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / folder))
    cluster = create_cluster_folder(tmp_path)
    try:
        plain = cluster.plain_path()
        assert (plain != cluster.path) is linked
        assert is_plain(plain)
        assert plain.resolve() == cluster.path.resolve()
        assert cluster.plain_path() == plain
    finally:
        cluster.remove(keep_logs=False)
    assert not plain.is_symlink()
