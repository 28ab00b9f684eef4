from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from junitparser import JUnitXml

from pytest_kubecluster.report.matrix import as_html, as_junit, as_text
from pytest_kubecluster.report.results import Column, Matrix, Result
from pytest_kubecluster.spec.version import KubeVersion

OLD, NEW, DEAD, BARRED = (KubeVersion.parse(text) for text in ("1.7.5", "1.30.0", "1.24.1", "1.35"))
REASON = "there is no <such> thing"


@pytest.fixture
def matrix() -> Matrix:
    old = [
        Result("test_it_runs", "master01", "passed"),
        Result("test_it_runs", "worker01", "passed"),
        Result("test_new_thing", "master01", "skipped", REASON),
        Result("test_new_thing", "worker01", "skipped", REASON),
    ]
    new = [
        Result("test_it_runs", "master01", "passed"),
        Result("test_it_runs", "worker01", "failed", "assert 1 == 2"),
        Result("test_new_thing", "master01", "passed"),
        Result("test_new_thing", "worker01", "skipped", REASON),
    ]
    columns = (
        Column(OLD, old, changing=1.5, checking=2.5),
        Column(NEW, new, changing=3.0, checking=1.0),
        Column(DEAD, problem="the kubelet failed to start"),
        Column(BARRED, problem="this host has cgroup v1"),
    )
    return Matrix(columns, "hollow", "1 master, 1 worker")


def test_a_version_failed_if_a_test_did_or_it_never_ran(matrix: Matrix) -> None:
    assert [column.failed for column in matrix.columns] == [False, True, True, True]
    assert matrix.failed
    assert not Matrix(matrix.columns[:1], "hollow", "").failed
    assert matrix.checks == ["test_it_runs", "test_new_thing"]


def test_text(matrix: Matrix) -> None:
    # How far the columns are from each other is for the library to say.
    lines = [re.sub(r"(?<=\S) {2,}", "  ", line) for line in as_text(matrix, 120).splitlines()]
    assert lines == [
        "check  1.7.5  1.30.0  1.24.1  1.35.0",
        "it runs  ok  FAIL  ·  ·",
        "new thing  -1  ok  ·  ·",
        "",
        "seconds to change the kubelet  1.5  3.0  0.0  0.0",
        "seconds to check it  2.5  1.0  0.0  0.0",
        "",
        f"-1  not applicable: {REASON}",
        "·  not run",
        "1.30.0: test_it_runs on worker01: assert 1 == 2",
        "1.24.1: the kubelet failed to start",
        "1.35.0: this host has cgroup v1",
        "1 of 4 versions pass, with hollow kubelets on 1 master, 1 worker; 8 s for changing and checking them",
    ]


def test_text_in_pieces_where_the_terminal_is_narrow(matrix: Matrix) -> None:
    lines = as_text(matrix, 62).splitlines()
    heads = [line.split()[1:] for line in lines if line.startswith("check")]
    assert heads == [["1.7.5", "1.30.0"], ["1.24.1", "1.35.0"]]


def test_text_of_versions_that_all_did_not_run(matrix: Matrix) -> None:
    text = as_text(Matrix(matrix.columns[2:], "real", "1 master"), 100)
    assert text.startswith("1.24.1: the kubelet failed to start\n")
    assert "0 of 2 versions pass, with real kubelets" in text


def test_junit(matrix: Matrix) -> None:
    xml = JUnitXml.fromstring(as_junit(matrix).decode())
    suites = {suite.name: suite for suite in xml}
    assert list(suites) == [
        f"kubelet v{number}" for number in ("1.7.5", "1.30.0", "1.24.1", "1.35.0")
    ]
    assert (suites["kubelet v1.30.0"].tests, suites["kubelet v1.30.0"].failures) == (4, 1)
    (failed,) = (case for case in suites["kubelet v1.30.0"] if case.is_failure)
    assert (failed.name, failed.result[0].message) == ("test_it_runs[worker01]", "assert 1 == 2")
    assert suites["kubelet v1.7.5"].skipped == 2
    assert suites["kubelet v1.24.1"].errors == 1
    assert suites["kubelet v1.35.0"].errors == 1


class Page(HTMLParser):
    """Takes a page apart as far as the tests look at it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.outside: list[str] = []
        self._kind = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self._kind = (given.get("class") or "") if tag == "td" else ""
        self.outside += [str(given[name]) for name in ("src", "href") if name in given]

    def handle_data(self, data: str) -> None:
        if self._kind:
            self.cells.append((self._kind, data))
            self._kind = ""


def test_html_has_the_same_content_and_is_self_contained(matrix: Matrix) -> None:
    text = as_html(matrix)
    page = Page(text)
    assert page.cells == [
        ("passed", "ok"), ("failed", "FAIL"), ("missing", "·"), ("missing", "·"),
        ("skipped", "-1"), ("passed", "ok"), ("missing", "·"), ("missing", "·"),
    ]  # fmt: skip
    assert page.outside == []
    assert "there is no &lt;such&gt; thing" in text
    assert "assert 1 == 2" in text
