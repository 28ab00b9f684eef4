"""Files that are written whole or not at all, and folders and locks for their owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pytest_kubecluster.errors import KubeClusterError

_LOCK_SECONDS = 30.0


def write_atomically(path: Path, data: bytes, mode: int) -> None:
    """Write ``data`` to ``path`` in one step, with ``mode`` from the first byte on.

    A crash leaves the old file or the new one, never a part. The umask does not count. Raises
    KubeClusterError if the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KubeClusterError(
            f"{path} cannot be written: {error.strerror}\n"
            "  free some space or make the folder writable, and run again"
        ) from error


def private_folder(path: Path) -> Path:
    """Create ``path`` as a folder that only its owner can enter, and return it.

    Missing parents are created alike, as the XDG Base Directory Specification requires. Raises
    KubeClusterError if that fails.
    """
    if not path.parent.exists():
        private_folder(path.parent)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise KubeClusterError(
            f"the folder {path} cannot be created or is not yours: {error.strerror}\n"
            "  state is kept below $XDG_STATE_HOME (default ~/.local/state); "
            "point it to a folder you can write"
        ) from error
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, so that processes that share a folder take turns.

    Raises KubeClusterError if it cannot be taken, or not in time.
    """
    lock = FileLock(path, timeout=_LOCK_SECONDS, mode=0o600)
    try:
        lock.acquire()
    except TimeoutError as error:
        raise KubeClusterError(
            f"{path} has been held by another process for {_LOCK_SECONDS:g} s\n"
            "  wait for the other run or end it, and run again"
        ) from error
    except OSError as error:
        raise KubeClusterError(
            f"{path} cannot be locked: {error.strerror or error}\n"
            "  remove it or make the folder writable, and run again"
        ) from error
    try:
        yield
    finally:
        lock.release()
