"""Several reports side by side, as a matrix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.report.data import FORMAT, Report
from pytest_kubecluster.report.results import Column, Matrix
from pytest_kubecluster.report.session import DATA
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS
from pytest_kubecluster.spec.translate import Change
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.plain import from_plain


def read_report(path: Path) -> Report | Matrix:
    """Return the report of a run or of a matrix.

    ``path`` is the folder of --kube-report, or its report.json. Raises KubeClusterError for a file
    that is no report of this format.
    """
    file = path / DATA if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']}, not {FORMAT}")
        return from_plain(Matrix, data) if "columns" in data else from_plain(Report, data)
    except OSError as error:
        raise KubeClusterError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KubeClusterError(f"{file} is not a report.json of this version: {error}") from None


def compared(paths: Sequence[Path]) -> Matrix:
    """Return the reports of runs and matrices as one matrix. Raises KubeClusterError.

    Where several have a version in the same layout, the names of their folders tell them apart.
    """
    found = [(name, _matrix(read_report(path))) for name, path in _named(paths)]
    columns = [(name, column) for name, matrix in found for column in matrix.columns]
    titles = [column.title for _, column in columns]
    told_apart = tuple(
        replace(one, name=f"{one.title} {name}") if titles.count(one.title) > 1 else one
        for name, one in columns
    )
    kinds = dict.fromkeys(matrix.kubelet for _, matrix in found)
    clusters = dict.fromkeys(matrix.topology for _, matrix in found)
    return Matrix(told_apart, " and ".join(kinds), " and ".join(clusters))


def _named(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the paths with names: what is last in them, or all where that is not enough."""
    folders = [path.parent if path.name == DATA else path for path in map(Path.absolute, paths)]
    stems = [folder.stem for folder in folders]
    unique = len(set(stems)) == len(stems)
    for path, stem in zip(paths, stems, strict=True):
        yield stem if unique else str(path), path


def _matrix(found: Report | Matrix) -> Matrix:
    if isinstance(found, Matrix):
        return found
    return Matrix((_column(found),), found.about.kubelet, found.about.cluster)


def _column(report: Report) -> Column:
    about = report.about
    problem = about.error
    if about.interrupted:
        problem = f"interrupted during {about.interrupted}"
    layout = "" if about.layout == BUNDLED_LAYOUTS[0] else f" {about.layout}"
    return Column(
        KubeVersion.parse(about.version),
        report.results,
        problem,
        checking=sum(result.seconds for result in report.results),
        facts=report.facts,
        changes=tuple(Change(one.what, one.reason, one.source) for one in report.changes),
        name=f"{about.version}{layout}",
    )
