from __future__ import annotations

import re

import pytest
from junitparser import JUnitXml

from pytest_kubecluster.report.matrix import as_junit, as_text
from pytest_kubecluster.report.matrix_page import as_html
from pytest_kubecluster.report.results import Column, Matrix, Result
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.report.page_reader import read_page

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
        Column(OLD, tuple(old), changing=1.5, checking=2.5),
        Column(NEW, tuple(new), changing=3.0, checking=1.0),
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


def test_page_has_versions_for_columns_and_reasons_in_words(matrix: Matrix) -> None:
    page = read_page(as_html(matrix))
    (table,) = page.id("checks").all("table")
    heads, *rows = table.all("tr")
    assert [one.text for one in heads.all("th")] == ["check", "1.7.5", "1.30.0", "1.24.1", "1.35.0"]
    cells = {
        row.all("th")[0].all("summary")[0].text if row.all("summary") else row.all("th")[0].text: [
            one.text for one in row.all("td")
        ]
        for row in rows
    }
    assert cells == {
        "it runs": ["ok", "failed 1 of 2", "not run", "not run"],
        "new thing": ["not applicable", "ok", "not run", "not run"],
    }  # fmt: skip
    assert f"Not applicable to 1.7.5, 1.30.0 on worker01: {REASON}." in rows[1].text
    assert "the kubelet failed to start" in page.all("header")[0].text


def test_page_leads_from_a_failure_to_the_node(matrix: Matrix) -> None:
    page = read_page(as_html(matrix))
    (cell,) = page.id("checks").all("td", "f")
    failure = page.id(cell.all("a")[0]["href"][1:])
    assert "1.30.0 on worker01" in failure.all("summary")[0].text
    assert "assert 1 == 2" in failure.text
    version = page.id("version-1.30.0")
    (row,) = version.all("tr", "bad")
    assert [one.classes for one in row.all("td")] == [{"p"}, {"f"}]


def test_page_of_versions_that_all_did_not_run(matrix: Matrix) -> None:
    page = read_page(as_html(Matrix(matrix.columns[2:], "real", "1 master")))
    assert page.all("h1")[0].text == "0 of 2 versions pass"
    assert "with real kubelets on 1 master" in page.all("title")[0].text
    assert "this host has cgroup v1" in page.id("version-1.35.0").text
