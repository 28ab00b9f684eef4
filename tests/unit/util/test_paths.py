from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.paths import (
    check_writable_folder,
    is_plain,
    new_socket_folder,
    readable_file,
    readable_folder,
    user_path,
)


def test_relative_paths_start_from_the_folder(tmp_path: Path) -> None:
    assert user_path("a/b", tmp_path) == tmp_path / "a" / "b"
    assert user_path("/a/b", tmp_path) == Path("/a/b")


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/a", tmp_path) == Path("/home/me/a")


def test_unknown_user_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="~nosuchuser/x: the home folder ~nosuchuser cannot"):
        user_path("~nosuchuser/x", tmp_path)


def test_regular_file_and_folder_are_returned(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert readable_file(tmp_path / "link") == tmp_path / "link"
    assert readable_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing", "does not exist"),
        ("file/below", "cannot be read: Not a directory"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("fifo", "is a FIFO, not a file"),
        ("folder", "is a folder, not a file"),
        ("/dev/zero", "is a device, not a file"),
        ("x" * 300, "cannot be read: File name too long"),
        ("nul\0byte", "cannot be read: a path has no null character"),
    ],
)
def test_what_is_not_a_readable_file_is_named_and_never_opened(
    name: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KubeClusterError) as raised:
        readable_file(tmp_path / name)
    assert str(raised.value) == f"{tmp_path / name} {problem}"


def test_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KubeClusterError, match="is a file, not a folder"):
        readable_folder(tmp_path / "file")


def test_folder_to_write_to_is_not_created_by_the_check(tmp_path: Path) -> None:
    check_writable_folder(tmp_path / "new" / "report")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/1/report", "loop"])
def test_folder_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(KubeClusterError):
        check_writable_folder(tmp_path / name)


@pytest.mark.parametrize("name", ["a b", "%h", "it's", '"', "a\nb", "x" * 101])
def test_sockets_are_in_a_short_plain_folder_wherever_temporary_files_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    folder = new_socket_folder()
    try:
        assert is_plain(folder)
        assert len(f"{folder}/{'f' * 40}.{'x' * 16}") < 104
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


def test_sockets_are_where_temporary_files_are_if_that_is_short() -> None:
    folder = new_socket_folder()
    folder.rmdir()
    assert len(tempfile.gettempdir()) > 24 or folder.parent == Path(tempfile.gettempdir())
