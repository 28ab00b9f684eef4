"""Paths: the folders that all runs of a user share, and those that the user names."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError

_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)
_SHORT = 24
"""Characters of a folder for sockets: an address holds 104, and a socket's name takes 80."""
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def cache_folder() -> Path:
    """Return the cache folder, for what is worth keeping between runs."""
    import platformdirs  # not needed where nothing is cached

    return platformdirs.user_cache_path("kubecluster")


def registry_root() -> Path:
    """Return the folder of the registry: $XDG_STATE_HOME/kubecluster."""
    import platformdirs

    return platformdirs.user_state_path("kubecluster")


def new_socket_folder() -> Path:
    """Create a folder, for this user alone, whose path is short and plain enough for sockets.

    It is in /tmp if the path of the usual folder for temporary files is not.
    """
    usual = tempfile.gettempdir()
    folder = usual if len(usual) <= _SHORT and is_plain(Path(usual)) else "/tmp"
    return Path(tempfile.mkdtemp(prefix="kubecluster-", dir=folder))


def is_plain(path: Path) -> bool:
    """Whether no program takes any character of ``path`` for something else."""
    return _PLAIN.fullmatch(str(path)) is not None


def user_path(text: str, folder: Path) -> Path:
    """Return the path that a user wrote as ``text``: relative to ``folder``, with ~ and ~user.

    Raises KubeClusterError for the home of an unknown user.
    """
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise KubeClusterError(f"{text}: the home folder {user} cannot be determined") from None


def current_folder() -> Path:
    """Return the current folder. Raises KubeClusterError if it was removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise KubeClusterError(f"the current folder cannot be used: {error.strerror}") from None


def readable_file(path: Path) -> Path:
    """Return ``path`` if it is a regular file that can be read.

    Nothing is read, so a device or a FIFO cannot block. Raises KubeClusterError.
    """
    _check_kind(path, stat.S_IFREG)
    return path


def readable_folder(path: Path) -> Path:
    """Return ``path`` if it is a folder that can be read. Raises KubeClusterError."""
    _check_kind(path, stat.S_IFDIR)
    return path


def check_writable_folder(path: Path) -> None:
    """Check that ``path`` is a folder that can be written, or can become one.

    Nothing is created. Raises KubeClusterError.
    """
    nearest = path
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    _check_kind(nearest, stat.S_IFDIR)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise KubeClusterError(f"{nearest} is not writable")


def _check_kind(path: Path, wanted: int) -> None:
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        raise KubeClusterError(f"{path} does not exist") from None
    except OSError as error:
        raise KubeClusterError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # each Python words it differently
        raise KubeClusterError(f"{path} cannot be read: a path has no null character") from None
    if kind != wanted:
        found = _KINDS.get(kind, "something else")
        raise KubeClusterError(f"{path} is {found}, not {_KINDS[wanted]}")
    if not os.access(path, os.R_OK):
        raise KubeClusterError(f"{path} cannot be read: {os.strerror(errno.EACCES)}")


def is_url(text: str) -> bool:
    """Return whether a text is the URL of a file to download, not a path."""
    return text.startswith(("http://", "https://"))
