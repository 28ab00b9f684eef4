"""Many kubelet versions on one booted cluster: only the kubelet changes between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from pytest_kubecluster.cluster.booted import Cluster
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.host_requirements import (
    kernel_problems,
    kubelet_problems,
    machine_traits,
    needs_cgroup_v1,
)
from pytest_kubecluster.plugin.fixtures import SESSION
from pytest_kubecluster.plugin.session import ClusterSession
from pytest_kubecluster.plugin.settings import read_settings
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion
from pytest_kubecluster.util.progress import Progress, count

Outcome = Literal["passed", "failed", "skipped"]

ALL = "all"
DEFAULT_TESTS = ("--pyargs", "pytest_kubecluster.conformance", "-m", "not kube_disruptive")
"""The bundled suite, but for what takes half a minute a version: kills and reboots."""


@dataclass(frozen=True)
class Result:
    """What came of one test of one version; ``node`` is empty for a test that has none."""

    check: str
    node: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Column:
    """A version's results. ``problem`` says why there are none: it did not run, or not start."""

    version: KubeVersion
    results: list[Result] = field(default_factory=list)
    problem: str = ""
    changing: float = 0.0
    """Seconds it took to bring this kubelet onto the nodes."""
    checking: float = 0.0
    """Seconds the tests took."""

    @property
    def failed(self) -> bool:
        """Whether the kubelet did not start, or a test failed."""
        return bool(self.problem) or any(result.outcome == "failed" for result in self.results)

    def number_of(self, outcome: Outcome) -> int:
        """Return how many tests ended that way."""
        return sum(result.outcome == outcome for result in self.results)


@dataclass(frozen=True)
class Matrix:
    """The results of all versions, and which kubelets they are about: hollow or real ones."""

    columns: tuple[Column, ...]
    kubelet: str
    topology: str

    @property
    def failed(self) -> bool:
        """Whether any version failed."""
        return any(column.failed for column in self.columns)

    @property
    def checks(self) -> list[str]:
        """The names of all tests, in the order in which they ran."""
        names = (result.check for column in self.columns for result in column.results)
        return list(dict.fromkeys(names))


def read_versions(words: Sequence[str]) -> list[KubeVersion]:
    """Return the versions that ``words`` name, each once; ``all`` stands for every minor.

    Raises ValueError naming the word that is none.
    """
    versions: list[KubeVersion] = []
    for word in words:
        if word == ALL:
            versions += [KubeVersion(1, minor, 0) for minor in range(OLDEST, NEWEST + 1)]
        else:
            versions.append(KubeVersion.parse_known(word))
    return list(dict.fromkeys(versions))


def kernel_problem(spec: ClusterSpec, settings: Settings, first: KubeVersion) -> str:
    """Return why kubelets would not run on machines that were booted for ``first``, or ""."""
    if settings.machines.shares_kernel:
        return "; ".join(kernel_problems(spec, real=settings.real))
    # Of somebody else's box only its maker knows.
    problems = kubelet_problems(spec, machine_traits(first))
    if not settings.real or settings.box or not any(problems):
        return ""
    return (
        f"the machines were booted for {first.number} with "
        f"cgroup {'v1' if needs_cgroup_v1(first) else 'v2'}, on which this one does not run; "
        "give it a matrix of its own"
    )


def run_matrix(
    config: pytest.Config, versions: Sequence[KubeVersion], tests: Sequence[str], progress: Progress
) -> Matrix:
    """Boot a cluster, run the tests with each version's kubelet on it, and remove it.

    ``tests`` are pytest's arguments; none stands for DEFAULT_TESTS. The options of ``config`` hold
    for all versions; what is wrong for one of them is a pytest.UsageError before anything boots.
    Raises KubeClusterError if the cluster does not boot.
    """
    sessions = [ClusterSession(config, read_settings(config, version)) for version in versions]
    columns = [Column(version) for version in versions]
    for session, column in zip(sessions, columns, strict=True):
        column.problem = kernel_problem(session.spec, session.settings, versions[0])
    waiting = [pair for pair in zip(sessions, columns, strict=True) if not pair[1].problem]
    owner, failed = None, True
    try:
        while waiting and owner is None:
            owner = _boot(*waiting[0], progress)
            if owner is None:
                waiting.pop(0)
        for session, column in waiting:
            assert owner is not None
            assert owner.cluster is not None
            _run_version(owner.cluster, session, column, tests or DEFAULT_TESTS, progress)
        failed = any(column.failed for column in columns)
    finally:
        for session in sessions:
            session.finish(failed=failed)
    return Matrix(tuple(columns), sessions[0].settings.kind, sessions[0].spec.summary())


def _boot(session: ClusterSession, column: Column, progress: Progress) -> ClusterSession | None:
    """Boot with a version and return the owner of the cluster; None if it has no working kubelet.

    Raises KubeClusterError for what would be no better with another version.
    """
    ready = False
    try:
        session.settings = session.prepared(progress)
        ready = True
        session.open(progress)
    except KubeClusterError as error:
        kubelet = not ready or (progress.phases and progress.phases[-1].name == "start")
        if not kubelet:
            raise
        column.problem = str(error)
        progress.say(_line(column))
        return None
    return session


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
        settings = session.prepared(progress)
        if cluster.spec != session.spec:
            cluster.change(session.spec, settings)
        column.changing = time.monotonic() - started
        started = time.monotonic()
        status = pytest.main(["--kube-cluster", "-p", "no:terminal", *_QUIET, *tests], [guest])
        if status == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        column.checking = time.monotonic() - started
        column.results = guest.results
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            column.problem = "; ".join(guest.errors) or f"pytest ended with {status!r}"
    except KubeClusterError as error:
        column.problem = str(error)
    progress.say(_line(column))


_QUIET = ("-p", "no:cacheprovider", "-p", "no:xdist")


def _line(column: Column) -> str:
    name = f"{column.version.tag:<10}"
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
    """A pytest plugin that lends a run a cluster that is up, and takes down what comes of it."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self.results: list[Result] = []
        self.errors: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        session = _GuestSession(config, self._settings)
        session.spec = self._cluster.spec
        session.cluster = self._cluster
        config.stash[SESSION] = session

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid} cannot be collected: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            check, _, rest = report.location[2].partition("[")
            node = rest.rstrip("]")
            self.results.append(
                Result(check, node, report.outcome, _reason(report), report.duration)
            )


class _GuestSession(ClusterSession):
    """A session whose cluster is another's to boot and to remove."""

    def boot(self) -> None:
        """Do nothing: it is up."""

    def finish(self, *, failed: bool) -> None:
        """Leave it."""


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped, or the end of the line on which it failed."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash else report.longreprtext
