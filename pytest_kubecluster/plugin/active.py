"""The hooks of a test run that has a cluster; registered with --kube-cluster only."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_kubecluster.plugin.facts import FactsOfFailures
from pytest_kubecluster.plugin.items import needs_cluster, node_names, parameters
from pytest_kubecluster.plugin.lifecycle import Lifecycle
from pytest_kubecluster.plugin.recorder import Recorder, describe
from pytest_kubecluster.plugin.session import NEED_NODE, ClusterSession
from pytest_kubecluster.plugin.summary import interruption, quiet_summary, results, summary
from pytest_kubecluster.plugin.terminal import Terminal, header, waivers_not_needed


class ActivePlugin:
    """Boots the cluster before the first test that needs it, and removes it after the last."""

    def __init__(self, session: ClusterSession) -> None:
        """Act for ``session``."""
        self._session = session
        self.lifecycle = Lifecycle(session)
        self._terminal = Terminal(session.config)
        self._facts = FactsOfFailures()
        self._recorder = Recorder(self.lifecycle.outcome)
        self._testing = ""
        self._summarized = False
        self._begun: set[str] = set()

    def pytest_report_header(self) -> str:
        """Show what will be booted."""
        if not self._session.plans_only and not self._session.is_worker:
            self.lifecycle.foresee_network()
        return header(self._session)

    # First, since pytest-xdist reads the groups in the same hook.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Skip disruptive tests of protected nodes; group the items of a node for pytest-xdist."""
        protected = self._session.protected()
        reason = "disturbs a machine that this run did not boot (allow it with --kube-disturb)"
        for item in items:
            if protected and needs_cluster(item) and item.get_closest_marker("kube_disruptive"):
                nodes = node_names(item)
                if not nodes or nodes & protected:
                    item.add_marker(pytest.mark.skip(reason=reason))
            if self._session.config.pluginmanager.has_plugin("xdist"):
                for name in sorted(NEED_NODE & parameters(item).keys()):
                    item.add_marker(pytest.mark.xdist_group(parameters(item)[name]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Boot before workers start: a controller collects no tests, so any may need a cluster."""
        if self._session.distributes and not self._session.plans_only:
            self.lifecycle.boot()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Boot once it is known that a test needs the cluster."""
        ours = self._session
        alone = not ours.distributes and not ours.is_worker
        runs = not ours.plans_only and not session.testsfailed
        if alone and runs and any(needs_cluster(item) for item in session.items):
            self.lifecycle.boot()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Send a worker of pytest-xdist how to reach the nodes."""
        from pytest_kubecluster.plugin.workers import KEY

        if self._session.cluster is not None:
            node.workerinput[KEY] = self._session.describe().to_json()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let no two workers of pytest-xdist use a node at the same time.

        An item that uses one node holds that one; an item that uses several holds all.
        """
        worker = self._session.worker
        if worker is None or not needs_cluster(item):
            return (yield)
        from pytest_kubecluster.errors import KubeClusterError

        try:
            worker.wait_until_booted(self._session.settings.timeout)
        except KubeClusterError:
            return (yield)  # the fixtures fail with the reason
        names = node_names(item) or worker.nodes.keys()
        with worker.locked(names), worker.sharing_changes(self._session.nodes(), names):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let a test that runs again look at its nodes again."""
        if item.nodeid in self._begun and needs_cluster(item) and self._session.has_nodes:
            names = node_names(item)
            for node in self._session.nodes():
                if not names or node.name in names:
                    node.forget()
        self._begun.add(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        """Learn from here on whether the test looks at its nodes."""
        self._facts.expect(pyfuncitem)
        self._session.compared = self._session.compared_table = ()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show the facts of the node under the failure, in JUnit XML, too."""
        report = yield
        facts = self._facts.of(item, call) if report.failed else {}
        describe(item, report, self._session, facts)
        add_section = getattr(report.longrepr, "addsection", None)
        if report.failed and add_section is not None:
            shown = report.longreprtext
            if table := self._table_to_show(shown):
                add_section("kubecluster: differences", table, sep="-")
                shown += table
            for title, text in self._facts.sections(item, facts, shown):
                add_section(title, text, sep="-")
        return report

    def _table_to_show(self, shown: str) -> str:
        """Return the table of the comparison that failed, unless the failure shows it."""
        table = "\n".join(self._session.compared_table)
        return table if "listed below" in shown else ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Learn what an interrupt would interrupt."""
        self._testing = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the results, in a controller of pytest-xdist those of its workers."""
        self._recorder.add(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note what was interrupted. pytest calls this for pytest.exit, too."""
        if isinstance(excinfo.value, KeyboardInterrupt):
            self.lifecycle.note_interrupt(self._testing)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Remove or keep the cluster, after the teardown of every fixture, before the summary."""
        self.lifecycle.finish(failed=exitstatus != 0)

    # First, since another plugin may fail, for example in writing to a terminal that was closed.
    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Remove the cluster if the session ended in a way that calls nothing else."""
        self.lifecycle.finish(failed=True)
        if not self._summarized:
            for line in interruption(self.lifecycle):
                self._terminal.show_line(line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show how the nodes did, where the time went, and the waivers that are not needed."""
        lifecycle, verbosity = self.lifecycle, self._terminal.verbosity
        self._summarized = True
        if not lifecycle.phases and not lifecycle.outcome.interrupted:
            return
        if verbosity < 0:
            for line in quiet_summary(self._session, lifecycle) if verbosity == -1 else ():
                terminalreporter.line(line)
            return
        terminalreporter.section("kubecluster")
        for line in (
            *results(self._session, lifecycle.outcome.results),
            *summary(self._session, lifecycle, verbosity=verbosity),
            *waivers_not_needed(terminalreporter.stats.get("xpassed", ())),
        ):
            terminalreporter.line(line)
