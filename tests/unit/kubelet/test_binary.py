from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet import binary
from pytest_kubecluster.kubelet.binary import inspect_kubelet, path_for_version
from pytest_kubecluster.spec.version import KubeVersion

VERSION = KubeVersion.parse("v1.7.5_coreos.1")


@pytest.mark.parametrize("name", ["1.7.5", "v1.7.5", "v1.7.5_coreos.1", "v1.7.5+coreos.1", "1.7"])
def test_version_in_a_path_is_spelled_as_the_file_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"hyperkube-{name}"
    path.touch()
    assert path_for_version(tmp_path / "hyperkube-{version}", VERSION) == path


def test_version_may_be_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "v1.7.5" / "hyperkube"
    path.parent.mkdir()
    path.touch()
    assert path_for_version(tmp_path / "{version}" / "hyperkube", VERSION) == path


def test_plain_path_stays(tmp_path: Path) -> None:
    assert path_for_version(tmp_path / "hyperkube", VERSION) == tmp_path / "hyperkube"


def test_no_file_for_the_version(tmp_path: Path) -> None:
    (tmp_path / "1.7.51").touch()
    with pytest.raises(KubeClusterError, match=r"there is no kubelet 1\.7\.5 at .*\{version\}"):
        path_for_version(tmp_path / "{version}", VERSION)


def test_file_may_have_a_build_that_was_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "hyperkube-v1.7.5_coreos.0").touch()
    (tmp_path / "hyperkube-v1.7.5_coreos.1").touch()
    found = path_for_version(tmp_path / "hyperkube-{version}", KubeVersion.parse("1.7.5"))
    assert found.name == "hyperkube-v1.7.5_coreos.1"


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("about", "name"), [("The hyperkube of all", "hyperkube"), ("The kubelet is", "kubelet")]
)
def test_kubelet_prints_its_version(about: str, name: str, tmp_path: Path) -> None:
    body = f'case $* in --help) echo "{about}" ;; *) echo Kubernetes v1.30.1 ;; esac'
    found = inspect_kubelet(script(tmp_path / "any-name", body))
    assert (found.name, found.version.number, found.hollow) == (name, "1.30.1", False)


def test_other_program_is_not_a_kubelet(tmp_path: Path) -> None:
    path = script(tmp_path / "date", "echo Wednesday")
    with pytest.raises(KubeClusterError, match="is not a kubelet: --version printed 'Wednesday'"):
        inspect_kubelet(path)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def make_unexecutable(path: Path) -> None:
    path.touch(0o644)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
        (Path.mkdir, "is a folder, not a file"),
        (make_fifo, "is a FIFO, not a file"),
        (make_device, "is a device, not a file"),
        (make_terminal, "is a device, not a file"),
        (make_loop, "cannot be read: Too many levels of symbolic links"),
        (make_unexecutable, "is not executable; chmod \\+x it"),
    ],
    ids=["missing", "dangling", "directory", "fifo", "zero", "tty", "loop", "mode"],
)
def test_path_that_is_not_a_program_is_an_error_at_once(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubelet"
    make(path)
    raised: list[BaseException] = []

    def look() -> None:
        try:
            inspect_kubelet(path)
        except BaseException as error:
            raised.append(error)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(30)
    assert not looking.is_alive(), "it blocks"
    with pytest.raises(KubeClusterError, match=message):
        raise raised[0]


def test_program_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "_SECONDS", 1)
    marker = f"31536000.{os.getpid()}"
    child = f"import time; time.sleep({marker})"
    path = script(tmp_path / "kubelet", f"{sys.executable} -c '{child}' &\nsleep {marker}")
    with pytest.raises(KubeClusterError, match=r"cannot be run: .* took longer than 1 s"):
        inspect_kubelet(path)
    deadline = time.monotonic() + 10
    while left := [p for p in psutil.process_iter(["cmdline"]) if marker in str(p.info["cmdline"])]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
