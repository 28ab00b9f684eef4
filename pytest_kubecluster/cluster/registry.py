"""The registry: a folder on disk for each cluster, by which any later process finds it again.

The process that uses a cluster holds the lock of its folder, and the system releases that lock
however the process ends. So a cluster whose lock is free is unused. Whether it was kept on
purpose is written in its record, and stays so whoever uses it: a cluster is abandoned if it is not
kept and its lock is free.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import USUAL
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import Role
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.paths import is_plain, new_socket_folder, registry_root

FORMAT = 2
_KEPT_LOGS = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_RECORD = "cluster.json"
_REMOVE_ATTEMPTS = 3
_REMOVE_PAUSE = 0.2


@dataclass(frozen=True)
class Record:
    """What the registry knows of a cluster: its project, its owner and what it consists of."""

    name: str
    project: str
    pid: int
    started: float
    sockets: str
    kept: bool = False
    """Whether the cluster outlives the runs that use it."""
    machines: str = ""
    """A digest of what the machines were made from."""
    provisioning: str = ""
    """A digest of what the playbook put on them; empty until it has ended."""
    nodes: Mapping[str, Role] = field(default_factory=dict)
    """The role of each node, by its name."""
    layout: LayoutName = "classic"
    """The layout of the nodes, as the playbook that provisioned them last makes them."""
    network: str = ""
    provider: str = "docker"
    """Where the machines come from: a Vagrant provider, ``vagrantfile`` or ``inventory``."""
    source: str = ""
    """The folder of that Vagrantfile, or the path of that inventory."""
    to_destroy: tuple[str, ...] = ()
    to_halt: tuple[str, ...] = ()
    """The machines of that Vagrantfile which this run created, or only started."""
    python: str = USUAL
    """The Python of the machines."""
    options: tuple[str, ...] = ()
    """The options that the last run was given, as far as the spec needs them."""
    invoked_in: str = ""
    """The folder in which it was started."""
    format: int = FORMAT


@dataclass
class ClusterFolder:
    """All that a cluster has on this host: keys, rendered files, sockets, Vagrant's state."""

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
    def ssh_config(self) -> Path:
        """The configuration with which ssh(1) reaches the nodes."""
        return self.path / "ssh" / "config"

    def read(self) -> Record | None:
        """Return the record; None if it cannot be read or has another format."""
        fields = self._fields()
        lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
        try:
            record = Record(**{**fields, **lists})
        except TypeError:
            return None
        return record if record.format == FORMAT else None

    def is_kept(self) -> bool:
        """Whether the cluster is kept, also according to a record of another format."""
        return self._fields().get("kept") is True

    def _fields(self) -> dict[str, Any]:
        try:
            fields = json.loads((self.path / _RECORD).read_text())
        except (OSError, ValueError):
            return {}
        return fields if isinstance(fields, dict) else {}

    def sockets(self) -> Path:
        """Return the folder for ssh's sockets, whose paths must be short."""
        if (record := self.read()) is None:
            raise KubeClusterError(f"the record of cluster {self.name} cannot be read")
        return Path(record.sockets)

    def plain_path(self) -> Path:
        """Return a path of the cluster's folder that can be written into any configuration.

        Quotation marks, percent signs and newlines have no escape in ssh_config(5). If its own path
        has any, it is a link in the folder for sockets.
        """
        if is_plain(self.path):
            return self.path
        link = self.sockets() / "cluster"
        if not link.is_symlink():
            link.symlink_to(self.path)
        return link

    def write(self, **changes: object) -> None:
        """Change the record. Raises KubeClusterError if it cannot be read or written."""
        if (record := self.read()) is None:
            raise KubeClusterError(f"the record of cluster {self.name} cannot be read")
        self._write(replace(record, **changes))  # type: ignore[arg-type]

    def _write(self, record: Record) -> None:
        content = json.dumps(asdict(record), indent=1).encode()
        write_atomically(self.path / _RECORD, content, 0o600)

    def subfolder(self, name: str) -> Path:
        """Return a private folder inside this one, created if it is missing."""
        return private_folder(self.plain_path() / name)

    def try_lock(self) -> bool:
        """Take the lock unless another process holds it.

        Raises KubeClusterError if the lock file cannot be opened.
        """
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise KubeClusterError(
                f"{self.lock.lock_file} cannot be locked: {error.strerror or error}\n"
                "  make the folder writable, or point XDG_STATE_HOME to another one"
            ) from error
        return True

    def in_use(self) -> bool:
        """Whether a process holds the lock. Takes nothing away from a process that wants it."""
        try:
            descriptor = os.open(self.lock.lock_file, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def take(self) -> None:
        """Record this process as the user of a kept cluster whose lock it holds."""
        private_folder(self.logs)
        record = self.read()
        sockets = Path(record.sockets) if record else None
        if sockets is None or not sockets.is_dir():
            sockets = new_socket_folder()
        self.write(pid=os.getpid(), started=time.time(), sockets=str(sockets))

    def keep(self) -> None:
        """Leave the cluster to the next run."""
        self.write(kept=True)
        self.lock.release()

    def disown(self) -> None:
        """Note that the cluster is being removed: if that is cut short, ``gc`` completes it."""
        # A record that cannot be written, on a full disk for example, must not prevent the removal.
        with suppress(KubeClusterError):
            self.write(kept=False)

    def remove(self, *, keep_logs: bool) -> None:
        """Remove the folder with all keys in it, the lock, and the logs unless they are wanted.

        Raises KubeClusterError naming what cannot be removed. The record and the lock file stay in
        that case, so that the cluster is found again.
        """
        record = self.read()
        doomed = [path for path in _children(self.path) if path.name != _RECORD]
        doomed += [] if keep_logs else [self.logs]
        doomed += [Path(record.sockets)] if record else []
        # The record goes last, after all that it is needed to find.
        problems = [*filter(None, map(_remove_tree, doomed))] or [
            *filter(None, [_remove_tree(self.path)])
        ]
        if problems:
            listed = "\n".join(f"  - {problem}" for problem in problems)
            self.lock.release()
            raise KubeClusterError(
                f"the machines of cluster {self.name} are removed, but its files are not:\n"
                f"{listed}\n  make them writable and remove them with: kubecluster gc"
            )
        with suppress(OSError):
            Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()


def create_cluster_folder(project: Path, name: str | None = None) -> ClusterFolder:
    """Create the folder of a new cluster, named after its project unless ``name`` is given.

    Raises KubeClusterError if the state folder cannot be written or the name is taken; nothing of
    the cluster is left in that case.
    """
    root = registry_root()
    if name is None:
        word = re.sub(r"[^a-z0-9]+", "-", project.name.lower())[:20].strip("-") or "cluster"
        name = f"{word}-{secrets.token_hex(3)}"
    check_name(name)
    clusters = private_folder(root / "clusters")
    folder = ClusterFolder(clusters / name, FileLock(clusters / f"{name}.lock"))
    if not folder.try_lock():
        raise KubeClusterError(f"cluster {name} is in use; choose another name")
    if folder.path.exists():
        folder.lock.release()
        raise KubeClusterError(f"there is a cluster {name} already; reuse it or destroy it")
    sockets = ""
    try:
        _forget_old_logs(root)
        private_folder(folder.path)
        private_folder(folder.logs)
        sockets = str(new_socket_folder())
        folder._write(Record(name, str(project), os.getpid(), time.time(), sockets))
    except BaseException as error:
        shutil.rmtree(sockets, ignore_errors=True)
        with suppress(KubeClusterError):
            folder.remove(keep_logs=False)
        if isinstance(error, OSError):
            raise KubeClusterError(
                f"{error.filename or root} cannot be written: {error.strerror}\n"
                "  free some space or make the folder writable, and run again"
            ) from error
        raise
    return folder


def check_name(name: str) -> None:
    """Raise KubeClusterError for what cannot name a cluster, a container and a folder."""
    if not _NAME.fullmatch(name):
        raise KubeClusterError(
            f"{name!r} is not a cluster name; use up to 40 of a-z, 0-9 and - between them"
        )


def all_clusters() -> list[ClusterFolder]:
    """Return the folders of all clusters of this user, used or not."""
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
    """Return the cluster last kept for a project, among those that no process uses."""
    kept = [
        (record.started, folder)
        for folder in all_clusters()
        if (record := folder.read()) and record.kept and record.project == str(project)
        if not folder.in_use()
    ]
    return max(kept, key=lambda pair: pair[0])[1] if kept else None


def abandoned_clusters() -> Iterator[ClusterFolder]:
    """Yield the clusters that are neither used nor kept, each locked by this process now.

    Raises KubeClusterError if a lock file cannot be opened for want of space or a writable disk.
    """
    for folder in all_clusters():
        # Another user's lock file cannot even be opened.
        if folder.is_kept() or not os.access(folder.lock.lock_file, os.R_OK | os.W_OK):
            continue
        if not folder.try_lock():
            continue
        if folder.is_kept():
            folder.lock.release()
        else:
            yield folder


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _remove_tree(path: Path) -> str:
    """Remove a file or a folder, and return what prevents that, or nothing."""
    problem = ""
    for _ in range(_REMOVE_ATTEMPTS):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return ""
        except FileNotFoundError:
            # A process that is about to end removed a file of it in the meantime, or added one.
            continue
        except OSError as error:
            problem = f"{error.filename or path}: {error.strerror or error}"
            time.sleep(_REMOVE_PAUSE)
    return problem


def _forget_old_logs(root: Path) -> None:
    """Remove all but the newest logs of clusters that no longer exist."""
    logs = private_folder(root / "logs")
    ended = []
    for path in _children(logs):
        if not (root / "clusters" / f"{path.name}.lock").exists():
            with suppress(FileNotFoundError):  # another run forgets old logs, too
                ended.append((path.stat().st_mtime, path))
    for _, path in sorted(ended)[:-_KEPT_LOGS]:
        shutil.rmtree(path, ignore_errors=True)
