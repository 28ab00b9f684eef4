from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.report.compare import compared, read_report
from pytest_kubecluster.report.data import Report
from pytest_kubecluster.report.matrix import as_text
from pytest_kubecluster.report.matrix_page import as_html
from pytest_kubecluster.report.results import Column, Matrix
from pytest_kubecluster.report.session import write_matrix_report, write_session_report
from pytest_kubecluster.spec.version import KubeVersion
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


def written(tmp_path: Path, name: str, report: Report) -> Path:
    write_session_report(tmp_path / name, report, (), tmp_path)
    return tmp_path / name


def test_versions_are_columns_and_names_tell_the_same_ones_apart(tmp_path: Path) -> None:
    newer = run(failing=())
    newer = replace(newer, about=replace(newer.about, version="1.30.0"))
    write = partial(written, tmp_path)
    matrix = compared(
        [write("monday", run()), write("tuesday", run(failing=())), write("new", newer)]
    )
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


def test_folders_of_the_same_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    paths = [written(tmp_path, name, run()) for name in ("monday/report", "tuesday/report")]
    titles = [column.title for column in compared([paths[0], paths[1] / "report.json"]).columns]
    assert titles == [f"1.7.5 {paths[0]}", f"1.7.5 {paths[1]}/report.json"]


def test_matrices_and_runs_are_compared(tmp_path: Path) -> None:
    results = run().results
    columns = [Column(KubeVersion(1, minor, 0), results, changing=1.5) for minor in (9, 30)]
    columns.append(Column(KubeVersion(1, 30, 0), problem="it does not start", layout="kubeadm"))
    matrix = Matrix(tuple(columns), "hollow", "1 master")
    for name in ("monday", "tuesday"):
        write_matrix_report(tmp_path / name, matrix)
    assert read_report(tmp_path / "monday") == matrix
    assert (tmp_path / "monday" / "report.json").stat().st_mode & 0o777 == 0o600
    assert "1.30.0 kubeadm" in (tmp_path / "monday" / "index.html").read_text()
    one_run = written(tmp_path, "run", run())
    both = compared([tmp_path / "monday", one_run, tmp_path / "tuesday"])
    assert [column.title for column in both.columns] == [
        "1.9.0 monday",
        "1.30.0 monday",
        "1.30.0 kubeadm monday",
        "1.7.5",
        "1.9.0 tuesday",
        "1.30.0 tuesday",
        "1.30.0 kubeadm tuesday",
    ]
    assert "1.30.0 kubeadm monday: it does not start" in as_text(both)


def test_run_that_did_not_boot_is_a_problem(tmp_path: Path) -> None:
    report = run()
    about = replace(report.about, error="no Docker\n  start it")
    matrix = compared([written(tmp_path, "a", replace(report, about=about, results=()))])
    assert matrix.failed
    assert "1.7.5: no Docker" in as_text(matrix)


def test_names_with_html_are_text(tmp_path: Path) -> None:
    evil = written(tmp_path, EVIL.replace("/", ""), with_evil_names())
    page = read_page(as_html(compared([evil, written(tmp_path, "b", run())])))
    assert len(page.all("script")) == 1
    ids = [one["id"] for one in page.all("*") if one["id"]]
    assert len(ids) == len(set(ids))
