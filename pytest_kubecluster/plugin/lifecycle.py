"""The life of a cluster: opened for a session, removed or kept at its end."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.cluster.booted import Booting
from pytest_kubecluster.cluster.cluster import Cluster
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.joined import Joining
from pytest_kubecluster.cluster.network import free_network
from pytest_kubecluster.cluster.registry import ClusterFolder, find_cluster, kept_cluster
from pytest_kubecluster.cluster.removal import remove_abandoned
from pytest_kubecluster.cluster.sources import Download
from pytest_kubecluster.cluster.through_api import RegisteredNodes, use_registered
from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.plugin.options import REPORT, given_options
from pytest_kubecluster.plugin.session import ClusterSession
from pytest_kubecluster.plugin.terminal import Terminal
from pytest_kubecluster.report.outcome import Outcome
from pytest_kubecluster.spec.defaults import DEFAULT_NETWORK
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.progress import Phase, Progress

if TYPE_CHECKING:
    from pytest_kubecluster.machines.existing.inventory import Inventory
    from pytest_kubecluster.machines.existing.vagrantfile import ExistingVagrantfile
    from pytest_kubecluster.report.data import Report

_ATTEMPTS = 10
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, frame: object) -> None:
    """Turn a signal that would end the process, and leave machines running, into a Ctrl-C."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def interrupt_on_signals() -> dict[int, Any]:
    """Handle SIGTERM and SIGHUP as a Ctrl-C, and return the handlers before.

    A signal that is ignored stays so: nohup relies on it.
    """
    caught = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, interrupt) for number in caught}


class Lifecycle:
    """Owns the cluster of a session from its boot to its removal."""

    def __init__(self, session: ClusterSession) -> None:
        """Create a lifecycle without a cluster."""
        self.session = session
        self.outcome = Outcome(command=shlex.join(["pytest", *map(str, session.arguments)]))
        """What came of the tests, for the report."""
        self.phases: list[Phase] = []
        self.kept = ""
        """The name of the cluster, if it was kept."""
        self.left = "nothing is left"
        """What became of the machines of a cluster that was not kept; empty if that failed."""
        self._cluster: Cluster | None = None
        self._handlers: dict[int, Any] = {}
        self._booting: Thread | None = None
        self._finishing = False
        self._terminal = Terminal(session.config)
        self._report: Report | None = None
        self._secrets: Sequence[str] = ()

    def boot(self) -> None:
        """Boot the cluster; on failure show the reason and end the session with exit status 1.

        A controller of pytest-xdist boots in the background, while its workers start and collect.
        """
        session = self.session
        if session.cluster is not None:
            return
        self._handlers = interrupt_on_signals()
        # Lines of workers come in between, so a controller cannot write in place.
        progress = self._terminal.progress(in_place=not session.distributes)
        try:
            self.open(progress, reuse=session.settings.reuse, background=session.distributes)
        except KubeClusterError as error:
            self.outcome.error = str(error)
            self._terminal.show_error(str(error))
            what = "machines cannot be used" if session.existing() else "cluster did not boot"
            pytest.exit(f"kubecluster: the {what}", returncode=1)

    def open(
        self,
        progress: Progress,
        *,
        name: str | None = None,
        reuse: str | None = None,
        provision: bool = False,
        background: bool = False,
    ) -> Cluster:
        """Return a cluster that is up: a new one called ``name``, or the kept one ``reuse`` names.

        An empty ``reuse`` is the last one kept for this project, if there is one; with
        ``provision`` the playbook runs on it in any case, and with ``background`` a new one boots
        in a thread. Raises KubeClusterError.
        """
        session = self.session
        remove_abandoned(progress, session.settings)
        session.settings = prepare(session.settings, progress)
        kept = self._kept(reuse)
        existing = session.existing()
        if isinstance(existing, RegisteredNodes):
            use_registered(self._own(progress), existing)
        elif existing is not None:
            self._join(existing, progress)
        elif kept is not None:
            self._reuse(kept, progress, provision=provision)
        else:
            self._boot_new(progress, name, background=background)
        assert self._cluster is not None
        return self._cluster

    def _kept(self, reuse: str | None) -> ClusterFolder | None:
        """Return the kept cluster to use, if there is one. Raises KubeClusterError."""
        if reuse is None or self.session.existing() is not None:
            return None
        return find_cluster(reuse) if reuse else kept_cluster(self.session.config.rootpath)

    def _join(self, existing: Inventory | ExistingVagrantfile, progress: Progress) -> None:
        session = self.session
        joining = Joining(self._own(progress), existing)
        addresses = joining.survey()
        joining.join(session.locate(addresses) if addresses else session.spec)

    def _reuse(self, kept: ClusterFolder, progress: Progress, *, provision: bool) -> None:
        session = self.session
        if (record := kept.read()) and record.network:
            session.move_to(IPv4Network(record.network))
        Booting(self._own(progress)).reuse(kept, provision=provision)
        self._record_options()

    def _boot_new(self, progress: Progress, name: str | None, *, background: bool) -> None:
        session = self.session
        refused: list[IPv4Network] = []
        while True:
            network = free_network(session.spec.network or DEFAULT_NETWORK, refused)
            if session.move_to(network):
                progress.say(f"the default network is taken; using {network}")
            booting = Booting(self._own(progress))
            try:
                booting.claim(name)
                self._record_options()
                break
            except NetworkTakenError:
                refused.append(network)
                if session.settings.network is not None or len(refused) == _ATTEMPTS:
                    raise
        if background:
            self._booting = Thread(target=self._boot_in_background, args=[booting])
            self._booting.start()
        else:
            booting.boot()

    def _record_options(self) -> None:
        """Write down how the spec comes about, for ``kubecluster status``."""
        config = self.session.config
        assert self._cluster is not None
        self._cluster.folder.write(
            options=given_options(config), invoked_in=str(config.invocation_params.dir)
        )

    def _own(self, progress: Progress) -> Cluster:
        """Return a cluster to bring up, which is removed or kept at the end."""
        session = self.session
        cluster = Cluster(session.spec, session.settings, session.config.rootpath, progress)
        self._cluster = session.cluster = cluster
        return cluster

    def _boot_in_background(self, booting: Booting) -> None:
        try:
            booting.boot()
        except KubeClusterError as error:
            if not self._finishing:
                self.outcome.error = str(error)
                self._terminal.show_error(str(error))

    def note_interrupt(self, test: str) -> None:
        """Note that the run was interrupted, in the present phase or in ``test``."""
        progress = self.session.cluster.progress if self.session.cluster else None
        last = progress.phases[-1] if progress and progress.phases else None
        boots = self._booting is not None and self._booting.is_alive()
        if progress and last and (last.failed or boots):
            doing = " ".join((last.detail.removeprefix("interrupted: ") or progress.doing).split())
            self.outcome.interrupted = f"{last.name} ({doing})" if doing else last.name
        else:
            self.outcome.interrupted = test or ("boot" if self._handlers else "collection")

    def foresee_network(self) -> None:
        """Move to the network that a boot would use, so that the header can name it."""
        session = self.session
        if session.cluster is not None or session.existing() is not None:
            return
        try:
            kept = self._kept(session.settings.reuse)
            if kept is None:
                network = free_network(session.spec.network or DEFAULT_NETWORK)
            elif (record := kept.read()) and record.network:
                network = IPv4Network(record.network)
            else:
                return
        except KubeClusterError:
            return  # booting shows it
        session.move_to(network)

    def finish(self, *, failed: bool) -> None:
        """Remove the cluster, or keep it if requested.

        Neither an error of the report nor of the output prevents it, nor does a Ctrl-C while the
        report is written. Raises KubeClusterError if something cannot be removed.
        """
        self._finishing = True
        cluster, self._cluster = self._cluster, None
        try:
            self.session.close()
            if cluster is not None:
                self._end(cluster, failed=failed)
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers = {}

    def _end(self, cluster: Cluster, *, failed: bool) -> None:
        try:
            if self._booting is not None and self._booting.is_alive():
                cluster.stop()
                self._booting.join()
            self._write_report(cluster, failed=failed)
        finally:
            self.phases = cluster.progress.phases
            self.session.cluster = None
            if cluster.exists:
                keep = self.session.settings.keep
                if keep == "always" or (failed and keep == "failed"):
                    self._keep(cluster)
                else:
                    self._remove(cluster, keep_logs=failed)
            self._write_page(cluster)

    def _write_report(self, cluster: Cluster, *, failed: bool) -> None:
        """Write the report while the nodes can still be asked."""
        if (folder := self.session.settings.report) is None:
            return
        from pytest_kubecluster.report.collect import collect, look_again
        from pytest_kubecluster.report.session import write_session_report
        from pytest_kubecluster.util.redact import secrets_in

        session, nodes = self.session, cluster.nodes if cluster.exists else ()
        registered: Mapping[str, Mapping[str, str]] = {}
        with self._complaining(folder):
            if cluster.exists:
                kept = secrets_in(cluster.folder.path / "pki")
                self._secrets = (*kept, session.settings.sudo_password)
                registered = look_again(nodes)
            self._report = collect(
                session.spec,
                session.settings,
                cluster.progress,
                nodes,
                self.outcome,
                failed=failed,
                registered=registered,
            )
            write_session_report(folder, self._report, nodes, cluster.logs, self._secrets)

    def _write_page(self, cluster: Cluster) -> None:
        """Write the page again, now that it is known how the cluster ended."""
        if (folder := self.session.settings.report) is None or self._report is None:
            return
        from pytest_kubecluster.report.collect import ended
        from pytest_kubecluster.report.session import write_page

        with self._complaining(folder):
            report = ended(self._report, cluster.progress, kept=self.kept)
            write_page(folder, report, self._secrets)

    @contextmanager
    def _complaining(self, folder: Path) -> Iterator[None]:
        """Show what prevents the report, which must prevent nothing else."""
        try:
            yield
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self._terminal.show_error(f"{REPORT.flag}: {folder} cannot be written: {reason}")

    def _keep(self, cluster: Cluster) -> None:
        name = cluster.name
        cluster.keep()
        # Existing machines are the user's to enter and to remove.
        self.kept = "" if self.session.settings.machines.existing else name

    def _remove(self, cluster: Cluster, *, keep_logs: bool) -> None:
        self._terminal.end_line()
        parting, self.left = cluster.parting, ""
        try:
            with cluster.progress.phase(parting.phase, parting.doing) as phase:
                cluster.destroy(keep_logs=keep_logs)
                phase.detail = self.left = parting.done
        except KubeClusterError as error:
            self._terminal.show_error(str(error))
            raise
        finally:
            # A Ctrl-C just before the removal, which itself is not interrupted.
            if cluster.exists:
                cluster.destroy(keep_logs=keep_logs)


def prepare(settings: Settings, progress: Progress) -> Settings:
    """Return the settings with kubelet, control plane and Python downloaded, if they are to be.

    Raises KubeClusterError.
    """
    if isinstance(settings.kubelet, Download):
        from pytest_kubecluster.kubelet.binary import inspect_kubelet
        from pytest_kubecluster.kubelet.download import download_kubelet

        path = download_kubelet(
            settings.version,
            mirror=settings.kubelet.mirror,
            cache=cache_folder(),
            progress=progress.say,
        )
        settings = replace(settings, kubelet=inspect_kubelet(path).of(settings.version))
    if isinstance(settings.control_plane, Download):
        from pytest_kubecluster.kubelet.control_plane import inspect_programs
        from pytest_kubecluster.kubelet.download import download_control_plane

        paths = download_control_plane(
            settings.version,
            mirror=settings.control_plane.mirror,
            cache=cache_folder(),
            progress=progress.say,
        )
        settings = replace(settings, control_plane=inspect_programs(paths, settings.version))
    if settings.python and settings.python.is_remote:
        python = settings.python.fetched(cache_folder(), progress.say)
        settings = replace(settings, python=python)
    return settings
