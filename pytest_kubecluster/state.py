"""The folder of a cluster on disk, which is also how one that was abandoned is found again."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from pytest_kubecluster.files import private_folder, write_atomically

_KEPT_LOGS = 10


@dataclass
class ClusterFolder:
    """All that one cluster has on this host: keys, rendered files, sockets, Vagrant's state.

    Its lock is held for as long as the process that made the cluster lives, so that a folder whose
    lock is free belongs to nobody.
    """

    path: Path
    lock: FileLock = field(repr=False)

    @property
    def name(self) -> str:
        """The cluster's name, which its machines and networks carry as a label."""
        return self.path.name

    @property
    def logs(self) -> Path:
        """Where the logs of external commands go; they outlive the cluster when a run failed."""
        return self.path.parent.parent / "logs" / self.name

    @property
    def sockets(self) -> Path:
        """A folder with a short path, for the sockets of ssh."""
        return Path(json.loads((self.path / "cluster.json").read_text())["sockets"])

    def subfolder(self, name: str) -> Path:
        """Return a private folder inside this one, made if need be."""
        return private_folder(self.path / name)

    def remove(self, *, keep_logs: bool) -> None:
        """Remove the folder with all keys in it, and the logs unless they are wanted."""
        if (self.path / "cluster.json").exists():
            shutil.rmtree(self.sockets, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        if not keep_logs:
            shutil.rmtree(self.logs, ignore_errors=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()


def create_cluster_folder(project: Path) -> ClusterFolder:
    """Make the folder of a new cluster, named after the folder of the project it serves.

    Raises KubeClusterError where state cannot be kept.
    """
    root = _root()
    word = re.sub(r"[^a-z0-9]+", "-", project.name.lower()).strip("-")[:20] or "cluster"
    name = f"{word}-{secrets.token_hex(3)}"
    clusters = private_folder(root / "clusters")
    folder = ClusterFolder(clusters / name, FileLock(clusters / f"{name}.lock"))
    folder.lock.acquire(timeout=0)
    private_folder(folder.path)
    _forget_old_logs(root / "logs")
    private_folder(folder.logs)
    sockets = tempfile.mkdtemp(prefix="kubecluster-")
    record: dict[str, Any] = {
        "name": name,
        "pid": os.getpid(),
        "project": str(project),
        "sockets": sockets,
    }
    write_atomically(folder.path / "cluster.json", json.dumps(record).encode(), 0o600)
    return folder


def abandoned_clusters() -> Iterator[ClusterFolder]:
    """Yield the clusters whose owner ended without removing them, each locked by us now."""
    clusters = _root() / "clusters"
    if not clusters.is_dir():
        return
    for path in sorted(clusters.glob("*.lock")):
        folder = ClusterFolder(path.with_suffix(""), FileLock(path))
        try:
            folder.lock.acquire(timeout=0)
        except Timeout:
            continue
        yield folder


def cache_folder() -> Path:
    """Return the folder for what is worth keeping between runs."""
    return platformdirs.user_cache_path("kubecluster")


def _root() -> Path:
    return platformdirs.user_state_path("kubecluster")


def _forget_old_logs(logs: Path) -> None:
    private_folder(logs)
    by_age = sorted(logs.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-_KEPT_LOGS]:
        shutil.rmtree(path, ignore_errors=True)
