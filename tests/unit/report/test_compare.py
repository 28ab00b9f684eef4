from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.report.compare import compared, read_report
from pytest_kubecluster.report.matrix import as_text
from pytest_kubecluster.report.matrix_page import as_html
from pytest_kubecluster.report.session import write_session_report
from tests.unit.report.page_reader import read_page
from tests.unit.report.reports import EVIL, run, with_evil_names


def test_report_that_was_written_is_read(tmp_path: Path) -> None:
    for number, report in enumerate((run(), with_evil_names())):
        folder = tmp_path / str(number)
        write_session_report(folder, report, (), tmp_path)
        assert read_report(folder) == read_report(folder / "report.json") == report


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a report.json"),
        ("[]", "is not a report.json"),
        ("{}", "is not a report.json"),
        (json.dumps({"format": 99}), "its format is 99, not 1"),
        (json.dumps({"format": 1, "about": {"cluster": 1}}), "is not a report.json"),
    ],
)
def test_other_files_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(KubeClusterError, match=message):
        read_report(tmp_path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match=r"nothing cannot be read: No such file"):
        read_report(tmp_path / "nothing")


def test_versions_are_columns_and_names_tell_the_same_ones_apart() -> None:
    newer = run(failing=())
    newer = replace(newer, about=replace(newer.about, version="1.30.0"))
    matrix = compared([("monday", run()), ("tuesday", run(failing=())), ("new", newer)])
    head, first, *_ = as_text(matrix, 140).splitlines()
    assert head.split("  ")[0] == "check"
    assert [column.title for column in matrix.columns] == [
        "1.7.5 monday",
        "1.7.5 tuesday",
        "1.30.0",
    ]
    assert first.split()[-3:] == ["FAIL", "ok", "ok"]
    page = read_page(as_html(matrix))
    (cell,) = page.id("checks").all("td", "f")
    assert "1.7.5 monday on worker01" in page.id(cell.all("a")[0]["href"][1:]).text
    assert page.id("version-1.7.5-monday").tag == "details"


def test_run_that_did_not_boot_is_a_problem() -> None:
    report = run()
    about = replace(report.about, error="no Docker\n  start it")
    matrix = compared([("a", replace(report, about=about, results=()))])
    assert matrix.failed
    assert "1.7.5: no Docker" in as_text(matrix)


def test_names_with_html_are_text() -> None:
    page = read_page(as_html(compared([(EVIL, with_evil_names()), ("b", run())])))
    assert len(page.all("script")) == 1
    ids = [one["id"] for one in page.all("*") if one["id"]]
    assert len(ids) == len(set(ids))
