"""The registry: a folder on disk for each cluster, which is how it is found again by anyone.

A folder's lock is held for as long as the process that uses the cluster lives; the system lets go
of it however that process ends. So a folder whose lock is free belongs to nobody, and unless the
cluster is kept on purpose, it was abandoned.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import USUAL
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.paths import registry_root

FORMAT = 1
_KEPT_LOGS = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Record:
    """What the registry knows of a cluster: whose it is, what of, and what it consists of."""

    name: str
    project: str
    pid: int
    started: float
    sockets: str
    kept: bool = False
    machines: str = ""
    """A digest of what the machines were made from."""
    provisioning: str = ""
    """A digest of what was put on them; empty while that is not done."""
    nodes: tuple[str, ...] = ()
    network: str = ""
    provider: str = "docker"
    """Where the machines come from: a Vagrant provider, ``vagrantfile`` or ``inventory``."""
    source: str = ""
    """The folder of that Vagrantfile, or the path of that inventory."""
    to_destroy: tuple[str, ...] = ()
    to_halt: tuple[str, ...] = ()
    """The machines of that Vagrantfile which were made, or only started, for the cluster."""
    python: str = USUAL
    """The Python of the machines."""
    format: int = FORMAT


@dataclass
class ClusterFolder:
    """All that one cluster has on this host: keys, rendered files, sockets, Vagrant's state."""

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
    def record(self) -> Record | None:
        """What is recorded of the cluster; None if that cannot be read or is of another format."""
        try:
            fields: dict[str, Any] = json.loads((self.path / "cluster.json").read_text())
            lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
            record = Record(**{**fields, **lists})
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return record if record.format == FORMAT else None

    def write(self, **changes: object) -> None:
        """Record what changed."""
        record = self.record
        assert record is not None
        self._write(replace(record, **changes))  # type: ignore[arg-type]

    def _write(self, record: Record) -> None:
        content = json.dumps(asdict(record), indent=1).encode()
        write_atomically(self.path / "cluster.json", content, 0o600)

    @property
    def sockets(self) -> Path:
        """A folder with a short path, for the sockets of ssh."""
        record = self.record
        assert record is not None
        return Path(record.sockets)

    @property
    def ssh_config(self) -> Path:
        """How ssh(1) reaches the nodes."""
        return self.path / "ssh" / "config"

    def subfolder(self, name: str) -> Path:
        """Return a private folder inside this one, made if need be."""
        return private_folder(self.path / name)

    def take(self) -> None:
        """Make this process the owner of a kept cluster, which it holds the lock of."""
        private_folder(self.logs)
        sockets = self.sockets
        if not sockets.is_dir():
            sockets = Path(tempfile.mkdtemp(prefix="kubecluster-"))
        self.write(pid=os.getpid(), started=time.time(), sockets=str(sockets), kept=False)

    def keep(self) -> None:
        """Leave the cluster for whoever comes next."""
        self.write(kept=True)
        self.lock.release()

    def remove(self, *, keep_logs: bool) -> None:
        """Remove the folder with all keys in it, and the logs unless they are wanted."""
        if record := self.record:
            shutil.rmtree(record.sockets, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        if not keep_logs:
            shutil.rmtree(self.logs, ignore_errors=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()


def create_cluster_folder(project: Path, name: str | None = None) -> ClusterFolder:
    """Make the folder of a new cluster, named after its project's folder unless ``name`` is given.

    Raises KubeClusterError where state cannot be kept, or the name is taken.
    """
    root = registry_root()
    if name is None:
        word = re.sub(r"[^a-z0-9]+", "-", project.name.lower())[:20].strip("-") or "cluster"
        name = f"{word}-{secrets.token_hex(3)}"
    check_name(name)
    clusters = private_folder(root / "clusters")
    folder = ClusterFolder(clusters / name, FileLock(clusters / f"{name}.lock"))
    try:
        folder.lock.acquire(timeout=0)
    except Timeout:
        raise KubeClusterError(f"cluster {name} is in use; choose another name") from None
    if folder.path.exists():
        folder.lock.release()
        raise KubeClusterError(f"there is a cluster {name} already; reuse it or destroy it")
    _forget_old_logs(root / "logs")
    private_folder(folder.path)
    private_folder(folder.logs)
    sockets = tempfile.mkdtemp(prefix="kubecluster-")
    folder._write(Record(name, str(project), os.getpid(), time.time(), sockets))
    return folder


def check_name(name: str) -> None:
    """Raise KubeClusterError for what cannot name a cluster, a container and a folder."""
    if not _NAME.fullmatch(name):
        raise KubeClusterError(
            f"{name!r} is no name of a cluster; use up to 40 of a-z, 0-9 and - between them"
        )


def all_clusters() -> list[ClusterFolder]:
    """Return the folders of all clusters of this user, whoever uses them."""
    clusters = registry_root() / "clusters"
    paths = sorted(clusters.glob("*.lock")) if clusters.is_dir() else []
    return [ClusterFolder(path.with_suffix(""), FileLock(path)) for path in paths]


def find_cluster(name: str) -> ClusterFolder:
    """Return the folder of the cluster of that name. Raises KubeClusterError if there is none."""
    check_name(name)
    clusters = {folder.name: folder for folder in all_clusters()}
    if name not in clusters:
        known = ", ".join(clusters) or "none"
        raise KubeClusterError(f"there is no cluster {name}; there are: {known}")
    return clusters[name]


def kept_cluster(project: Path) -> ClusterFolder | None:
    """Return the cluster that was last kept for a project and that nobody uses, if there is one."""
    kept = [
        (record.started, folder)
        for folder in all_clusters()
        if (record := folder.record) and record.kept and record.project == str(project)
    ]
    return max(kept, key=lambda pair: pair[0])[1] if kept else None


def abandoned_clusters() -> Iterator[ClusterFolder]:
    """Yield the clusters whose owner ended without removing or keeping them, locked by us now."""
    for folder in all_clusters():
        try:
            folder.lock.acquire(timeout=0)
        except (Timeout, PermissionError):
            continue
        record = folder.record
        if record is not None and record.kept:
            folder.lock.release()
        else:
            yield folder


def _forget_old_logs(logs: Path) -> None:
    private_folder(logs)
    by_age = sorted(logs.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-_KEPT_LOGS]:
        shutil.rmtree(path, ignore_errors=True)
