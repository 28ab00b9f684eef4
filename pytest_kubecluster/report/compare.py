"""Several reports side by side: a matrix with a column for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.report.data import FORMAT, Report
from pytest_kubecluster.report.results import Column, Matrix
from pytest_kubecluster.report.session import DATA
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS
from pytest_kubecluster.spec.translate import Change
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.plain import from_plain


def read_report(path: Path) -> Report:
    """Return the report of a run: ``path`` is the folder of --kube-report, or its report.json.

    Raises KubeClusterError for a file that is no report of this format.
    """
    file = path / DATA if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']}, not {FORMAT}")
        return from_plain(Report, data)
    except OSError as error:
        raise KubeClusterError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KubeClusterError(f"{file} is not a report.json of this version: {error}") from None


def compared(reports: Sequence[tuple[str, Report]]) -> Matrix:
    """Return reports as a matrix. Where two have the same version, their names tell them apart."""
    versions = [_version(report) for _, report in reports]
    columns = []
    for name, report in reports:
        number = _version(report)
        shown = number if versions.count(number) == 1 else f"{number} {name}"
        columns.append(_column(shown, report))
    kinds = dict.fromkeys(report.about.kubelet for _, report in reports)
    clusters = dict.fromkeys(report.about.cluster for _, report in reports)
    return Matrix(tuple(columns), " and ".join(kinds), " and ".join(clusters))


def _version(report: Report) -> str:
    layout = report.about.layout
    return report.about.version + ("" if layout == BUNDLED_LAYOUTS[0] else f" {layout}")


def _column(name: str, report: Report) -> Column:
    about = report.about
    problem = about.error
    if about.interrupted:
        problem = f"interrupted during {about.interrupted}"
    return Column(
        KubeVersion.parse(about.version),
        list(report.results),
        problem,
        checking=sum(result.seconds for result in report.results),
        facts=report.facts,
        changes=tuple(Change(one.what, one.reason, one.source) for one in report.changes),
        name=name,
    )
