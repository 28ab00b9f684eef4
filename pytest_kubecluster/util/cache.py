"""A cache that all runs of a user share: one run makes an entry, the others wait.

A file or folder is in the cache whole or not at all, wherever a run is interrupted, and a run that
was killed does not block others.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_kubecluster.errors import KubeClusterError

_WAIT_SECONDS = 3600.0
"""How long another run is waited for. It gives up long before if nothing is downloaded."""


@contextmanager
def one_at_a_time(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``lock``, whose folder is created if necessary.

    ``on_wait`` is called if another run holds it. The system frees the lock of a run that died.
    Raises KubeClusterError if the lock cannot be had.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            on_wait()
            held.acquire(timeout=_WAIT_SECONDS)
    except Timeout:
        raise KubeClusterError(
            f"{lock} has been held by another run for {_WAIT_SECONDS:g} s\n"
            "  wait for that run or end it, and run again"
        ) from None
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        yield
    finally:
        held.release()


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file that becomes ``path`` at the end, or leaves no trace.

    Hold the lock: what a killed run left of the same file is removed. Raises KubeClusterError if
    the folder cannot be written.
    """
    with _new(path) as temporary:
        yield temporary


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a new folder that becomes ``path`` at the end, or leaves no trace, as for ``new_file``.

    Files and folders beside it whose names begin with its name belong to it, and go with it.
    """
    with _new(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_by_kill in path.parent.glob(f".{path.name}.*"):
            remove(left_by_kill)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> KubeClusterError:
    """Return the error for a path in the cache that cannot be written."""
    return KubeClusterError(
        f"{path} cannot be written: {error.strerror or error}\n"
        "  free some space or make the folder writable, and run again"
    )
