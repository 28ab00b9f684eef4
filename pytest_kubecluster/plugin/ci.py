"""What a CI system is told: JUnit properties, GitHub's annotations and summary, attached facts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.plugin.items import node_names

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.diagnostics import NodeFacts
    from pytest_kubecluster.plugin.lifecycle import Lifecycle
    from pytest_kubecluster.plugin.session import ClusterSession
    from pytest_kubecluster.report.data import About
    from pytest_kubecluster.report.github import Annotation

_ANNOTATING = "pytest_github_actions_annotate_failures"


class CiPlugin:
    """Tells a CI system about a run. Nothing that it writes to may fail the run."""

    def __init__(self, session: ClusterSession, lifecycle: Lifecycle) -> None:
        """Tell about the tests of ``session`` on the cluster of ``lifecycle``."""
        self._session = session
        self._lifecycle = lifecycle
        self._annotations: list[Annotation] = []
        self._failed = False
        self._done = session.is_worker or session.plans_only

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Name the nodes of a test in JUnit XML; pytest-xdist carries the properties along."""
        for item in items:
            item.user_properties += [("node", name) for name in sorted(node_names(item))]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the facts of the nodes to a failure, and write what is known of it."""
        report = yield
        if report.failed:
            facts = _facts(report)
            for one in facts:
                _attach(item.config, report, f"facts of {one.node}", _text(one))
            self._write_failure(report, facts)
        return report

    def _write_failure(self, report: pytest.TestReport, facts: list[NodeFacts]) -> None:
        if (root := self._session.settings.report) is None:
            return
        from pytest_kubecluster.report.failures import write_failure

        sections = [f"--- {title} ---\n{text}" for title, text in report.sections]
        text = "\n".join([report.nodeid, "", report.longreprtext, *sections])
        try:
            write_failure(root, report.nodeid, text, {one.node: _text(one) for one in facts})
        except OSError as error:
            item = f"kubecluster: {error.filename} cannot be written: {error.strerror}"
            report.sections.append(("kubecluster", item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what GitHub shows at the lines of failing tests."""
        if self._done or not report.failed or not _on_github():
            return
        if self._session.config.pluginmanager.has_plugin(_ANNOTATING):
            return
        from pytest_kubecluster.report.github import Annotation

        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(crash.message) if crash else report.longreprtext
        file, line = _place(report, self._session.config.rootpath)
        self._annotations.append(Annotation(report.nodeid, message, file, line))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Describe the run in the properties of the JUnit suite, before the file is written."""
        self._failed = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self._done:
            return
        from _pytest.junitxml import xml_key

        if xml := self._session.config.stash.get(xml_key, None):
            from pytest_kubecluster.report.github import described

            for name, value in described(self._about()).items():
                word = name.replace("pytest-kubecluster", "plugin").replace(" ", "_")
                xml.add_global_property(f"kubecluster.{word}", value)

    def pytest_unconfigure(self) -> None:
        """Tell GitHub Actions about the run, however it ended."""
        done, self._done = self._done, True
        if done or not _on_github():
            return
        from pytest_kubecluster.report.github import Annotation, step_summary
        from pytest_kubecluster.util.redact import redact

        lifecycle = self._lifecycle
        if lifecycle.outcome.error:
            title = "kubecluster: the cluster cannot be used"
            self._annotations.append(Annotation(title, lifecycle.outcome.error))
        with suppress(OSError, ValueError):  # the terminal may be closed
            for one in self._annotations:
                print(redact(one.command()), flush=True)
        if not (path := os.environ.get("GITHUB_STEP_SUMMARY")):
            return
        phases = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in lifecycle.phases)
        nodes = [node.name for node in self._session.spec]
        text = step_summary(self._about(), phases, lifecycle.outcome.results, nodes)
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(redact(text))
        except OSError as error:
            print(f"kubecluster: {path} cannot be written: {error.strerror}", file=sys.stderr)

    def _about(self) -> About:
        from dataclasses import replace

        from pytest_kubecluster.report.collect import about_run

        session, lifecycle = self._session, self._lifecycle
        about = about_run(session.spec, session.settings, lifecycle.phases, lifecycle.outcome)
        return replace(about, failed=self._failed)


def _on_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _facts(report: pytest.TestReport) -> list[NodeFacts]:
    """Return the facts of the nodes that a failure is about."""
    from pytest_kubecluster.nodes.diagnostics import NodeFacts
    from pytest_kubecluster.util.plain import from_plain

    described: dict[str, Any] = getattr(report, "kubecluster", {})
    return [from_plain(NodeFacts, one) for one in described.get("facts", {}).values()]


def _text(facts: NodeFacts) -> str:
    from pytest_kubecluster.nodes.diagnostics import all_facts_text

    return all_facts_text(facts)


def _attach(config: pytest.Config, report: pytest.TestReport, name: str, text: str) -> None:
    """Attach a text to the report of pytest-html and of Allure, where one is written."""
    if config.pluginmanager.has_plugin("html") and getattr(config.option, "htmlpath", None):
        from pytest_html import extras

        report.extras = [*getattr(report, "extras", []), extras.text(text, name=name)]  # type: ignore[attr-defined]
    if getattr(config.option, "allure_report_dir", None):
        import allure

        allure.attach(text, name, allure.attachment_type.TEXT)


def _place(report: pytest.TestReport, root: Path) -> tuple[str, int]:
    """Return the file and line of a test where it failed, as the repository names them.

    They are empty for a test outside of the repository, as those of the bundled suites.
    """
    file, line, _ = report.location
    path = (root / file).resolve()
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root).resolve()
    if not path.is_relative_to(workspace) or "site-packages" in path.parts:
        return "", 0
    number = (line or 0) + 1
    for entry in getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ()):
        where = getattr(entry, "reprfileloc", None)
        if where and (root / re.sub(r"^\./", "", where.path)).resolve() == path:
            number = where.lineno
    return str(path.relative_to(workspace)), number
