from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util import cache
from pytest_kubecluster.util.cache import new_file, new_folder, one_at_a_time

HOLD = """
    import sys
    from pathlib import Path
    from pytest_kubecluster.util.cache import one_at_a_time

    with one_at_a_time(Path(sys.argv[1]), lambda: None):
        print("held", flush=True)
        sys.stdin.read()
"""


def hold(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_other_run_is_waited_for_with_a_message(tmp_path: Path) -> None:
    lock = tmp_path / "boxes" / "a.lock"
    with hold(lock) as other:
        waited: list[str] = []

        def on_wait() -> None:
            waited.append("waiting")
            assert other.stdin is not None
            other.stdin.close()

        with one_at_a_time(lock, on_wait):
            assert waited == ["waiting"]


def test_killed_run_does_not_block_others(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with hold(lock) as other:
        other.kill()
        other.wait()
    with one_at_a_time(lock, lambda: pytest.fail("nobody holds it")):
        pass


def test_run_that_takes_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_WAIT_SECONDS", 0.1)
    lock = tmp_path / "a.lock"
    with (
        hold(lock) as other,
        pytest.raises(KubeClusterError, match=r"has been held by another run for 0.1 s"),
        one_at_a_time(lock, lambda: None),
    ):
        pytest.fail("another run holds it")
    assert other.returncode == 0


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with suppress(ZeroDivisionError), new_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    with new_file(path) as temporary:
        temporary.write_text("whole")
    assert [(one.name, one.read_text()) for one in path.parent.iterdir()] == [("file", "whole")]


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "box"
    with suppress(ZeroDivisionError), new_folder(path) as temporary:
        (temporary / "disk").touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with new_folder(path) as temporary:
        (temporary / "disk").touch()
    assert [one.relative_to(tmp_path) for one in tmp_path.rglob("*")] == [
        Path("box"),
        Path("box/disk"),
    ]


def test_leavings_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".box.0a1b").mkdir()
    (tmp_path / ".box.0a1b" / "disk").touch()
    (tmp_path / ".box.2c3d").touch()
    (tmp_path / ".other.0a1b").touch()
    with new_file(tmp_path / "box") as temporary:
        temporary.touch()
    assert sorted(one.name for one in tmp_path.iterdir()) == [".other.0a1b", "box"]


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for use in (
        lambda path: new_file(path),
        lambda path: new_folder(path),
        lambda path: one_at_a_time(path, lambda: None),
    ):
        with (
            pytest.raises(KubeClusterError, match=r"cannot be written: (Not a dir|File exists)"),
            use(tmp_path / "file" / "x"),
        ):
            pytest.fail("there is no such folder")
