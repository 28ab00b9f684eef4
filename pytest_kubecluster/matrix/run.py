"""Run tests with many kubelet versions on one cluster: only the kubelet changes between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from pytest_kubecluster.cluster.cluster import Cluster
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.host_requirements import (
    kernel_problems,
    kubelet_problems,
    machine_traits,
    needs_cgroup_v1,
)
from pytest_kubecluster.layouts.cluster import OLDEST_OF
from pytest_kubecluster.plugin.lifecycle import Lifecycle, prepare
from pytest_kubecluster.plugin.recorder import Recorder
from pytest_kubecluster.plugin.session import SESSION, ClusterSession
from pytest_kubecluster.plugin.settings import read_settings
from pytest_kubecluster.report.collect import explained
from pytest_kubecluster.report.outcome import Outcome
from pytest_kubecluster.report.results import Column, Matrix
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion
from pytest_kubecluster.util.progress import Progress, count

ALL = "all"
DEFAULT_TESTS = ("--pyargs", "pytest_kubecluster.conformance", "-m", "not kube_disruptive")
"""The bundled suite without kills and reboots, which take half a minute for each version."""


def read_versions(words: Sequence[str], first: int = OLDEST) -> list[KubeVersion]:
    """Return the versions that ``words`` name, each once.

    ``all`` stands for every minor, from ``first`` on. Raises ValueError for a word that is not a
    version.
    """
    versions: list[KubeVersion] = []
    for word in words:
        if word == ALL:
            versions += [KubeVersion(1, minor, 0) for minor in range(first, NEWEST + 1)]
        else:
            versions.append(KubeVersion.parse_known(word))
    return list(dict.fromkeys(versions))


def kernel_problem(spec: ClusterSpec, settings: Settings, first: KubeVersion) -> str:
    """Return why a kubelet would not run on machines booted for ``first``; empty if it would."""
    if settings.machines.shares_kernel:
        return "; ".join(kernel_problems(spec, real=settings.real))
    # The content of a user's own box is unknown.
    problems = kubelet_problems(spec, machine_traits(first))
    if not settings.real or settings.box or not any(problems):
        return ""
    return (
        f"the machines were booted for {first.number} with "
        f"cgroup {'v1' if needs_cgroup_v1(first) else 'v2'}, on which this version does not run; "
        "run it in another matrix"
    )


def run_matrix(
    config: pytest.Config,
    words: Sequence[str],
    layouts: Sequence[LayoutName],
    tests: Sequence[str],
    progress: Progress,
) -> Matrix:
    """Boot a cluster, run the tests with each version's kubelet on it, and remove it.

    ``words`` are the versions, as in ``read_versions``; they run in each of ``layouts`` (default:
    that of ``config``). ``tests`` are arguments of pytest (default: DEFAULT_TESTS). The options of
    ``config`` apply to all versions. Raises ValueError for a word that is not a version,
    pytest.UsageError, before anything boots, for an option that is wrong for one of them, and
    KubeClusterError if the cluster does not boot.
    """
    chosen = layouts or (read_settings(config).bundled_layout,)
    columns = [
        Column(version, layout=layout)
        for layout in chosen
        for version in read_versions(words, OLDEST_OF[layout])
    ]
    # A report of the matrix is no report of a session.
    sessions = [
        ClusterSession(
            config, replace(read_settings(config, column.version, column.layout), report=None)
        )
        for column in columns
    ]
    for session, column in zip(sessions, columns, strict=True):
        column.problem = kernel_problem(session.spec, session.settings, columns[0].version)
        if column.problem:
            _tell(column, progress)
    waiting = [pair for pair in zip(sessions, columns, strict=True) if not pair[1].problem]
    lifecycle, failed = None, True
    try:
        while waiting and lifecycle is None:
            lifecycle = _boot(*waiting[0], progress)
            if lifecycle is None:
                waiting.pop(0)
        for session, column in waiting:
            assert lifecycle is not None
            assert lifecycle.session.cluster is not None
            cluster = lifecycle.session.cluster
            _run_version(cluster, session, column, tests or DEFAULT_TESTS, progress)
        failed = any(column.failed for column in columns)
    finally:
        if lifecycle is not None:
            lifecycle.finish(failed=failed)
    return Matrix(tuple(columns), sessions[0].settings.kind, sessions[0].spec.summary())


def _boot(session: ClusterSession, column: Column, progress: Progress) -> Lifecycle | None:
    """Boot with a version and return the owner of the cluster; None if its kubelet does not run.

    Raises KubeClusterError for a failure that another version would not change.
    """
    lifecycle, ready = Lifecycle(session), False
    try:
        session.settings = prepare(session.settings, progress)
        ready = True
        lifecycle.open(progress)
    except BaseException as error:
        lifecycle.finish(failed=True)
        of_kubelet = not ready or (progress.phases and progress.phases[-1].name == "start")
        if not isinstance(error, KubeClusterError) or not of_kubelet:
            raise
        column.problem = str(error)
        _tell(column, progress)
        return None
    return lifecycle


def _run_version(
    cluster: Cluster,
    session: ClusterSession,
    column: Column,
    tests: Sequence[str],
    progress: Progress,
) -> None:
    started = time.monotonic()
    guest = _Guest(cluster, session.settings)
    try:
        session.move_to(cluster.spec.network)
        settings = prepare(session.settings, progress)
        if cluster.spec != session.spec:
            cluster.change(session.spec, settings)
        column.changing = time.monotonic() - started
        started = time.monotonic()
        status = pytest.main(["--kube-cluster", "-p", "no:terminal", *_QUIET, *tests], [guest])
        if status == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        column.checking = time.monotonic() - started
        column.results, column.facts = explained(guest.outcome.results), guest.outcome.facts
        column.changes = tuple(
            dict.fromkeys(one for n in session.spec for one in n.kubelet.changes)
        )
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            column.problem = "; ".join(guest.errors) or f"pytest ended with {status!r}"
    except KubeClusterError as error:
        column.problem = str(error)
    _tell(column, progress)


def _tell(column: Column, progress: Progress) -> None:
    """Show how a version did, in a line or in events."""
    number = column.version.number
    for one in column.results:
        progress.emit(
            "test",
            version=number,
            check=one.check,
            node=one.node,
            verdict=one.outcome,
            seconds=round(one.seconds, 3),
            **({"reason": one.reason} if one.reason else {}),
        )
    progress.emit(
        "version",
        version=number,
        verdict="failed" if column.failed else "passed",
        seconds=round(column.changing + column.checking, 3),
        **({"problem": column.problem} if column.problem else {}),
    )
    progress.say(_line(column))


_QUIET = ("-p", "no:cacheprovider", "-p", "no:xdist", "--override-ini=addopts=")
"""addopts may have options of plugins that are off here: ``-ra``, and ``-n`` of pytest-xdist."""


def _line(column: Column) -> str:
    name = f"{column.tag:<10}"
    if column.problem:
        return f"{name} {column.problem}"
    counts = ", ".join(_counts(column))
    return f"{name} {column.changing:5.1f} s to change, {column.checking:4.1f} s to check: {counts}"


def _counts(column: Column) -> Iterator[str]:
    yield f"{column.number_of('passed')} passed"
    if failed := column.number_of("failed"):
        yield f"{count(failed, 'test')} failed"
    if skipped := column.number_of("skipped"):
        yield f"{skipped} not applicable"


class _Guest:
    """A pytest plugin that lends a cluster to a test run and records the results."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._recorder = Recorder(everything=True)
        self.errors: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        session = ClusterSession(config, self._settings)
        session.use(self._cluster)
        config.stash[SESSION] = session

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid} cannot be collected: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._recorder.add(report)

    @property
    def outcome(self) -> Outcome:
        """The results, and the facts that they refer to."""
        return self._recorder.outcome
