"""The pages in real headless Chromium: a failing cell is opened, and axe-core finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.report.matrix_page import as_html
from pytest_kubecluster.report.page import as_page
from pytest_kubecluster.report.results import Column, Matrix
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.report.browser import CHROMIUM, evaluate
from tests.unit.report.reports import facts_of, run, with_evil_names

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt-get install chromium")


PAGES = {"run": run, "evil": with_evil_names}


def page_of_matrix() -> str:
    results = run(checks=6).results
    facts = {"worker01": facts_of("worker01")}
    good = tuple(replace(one, outcome="passed", differences=()) for one in results)
    columns = (
        Column(KubeVersion(1, 7, 5), good, changing=1.0, checking=1.0),
        Column(KubeVersion(1, 30, 0), results, facts=facts),
        Column(KubeVersion(1, 35, 0), problem="this host has cgroup v1"),
    )
    return as_html(Matrix(columns, "hollow", "1 master, 1 worker"))


def axe() -> str:
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("needs axe-core-python: pip install -e .[test]")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


OPEN = """
const cell = document.querySelector("#checks td.f a");
document.querySelectorAll("details").forEach((one) => { one.open = false; });
cell.click();
await new Promise((done) => setTimeout(done, 500));
const failure = document.getElementById(cell.hash.slice(1));
const mark = (name) => [...failure.querySelectorAll(`table ${name}`)].map((one) => one.innerText);
return {
  open: failure.open,
  visible: failure.querySelector("table").checkVisibility(),
  focused: document.activeElement === failure.querySelector("summary"),
  expected: mark("del"), seen: mark("ins"),
};
"""


@pytest.mark.parametrize("page", [lambda: as_page(run()), page_of_matrix])
def test_failing_cell_opens_its_difference(page: Callable[[], str], tmp_path: Path) -> None:
    assert evaluate(page(), OPEN, tmp_path) == {
        "open": True,
        "visible": True,
        "focused": True,
        "expected": ["local"],
        "seen": ["example"],
    }


def test_only_what_failed(tmp_path: Path) -> None:
    script = """
    const rows = () => [...document.querySelectorAll("#checks tbody tr")].filter((one) => one.checkVisibility()).length;
    const before = rows();
    document.getElementById("only").click();
    return [before, rows()];
    """
    assert evaluate(as_page(run(checks=8, differing=2)), script, tmp_path) == [8, 2]


@pytest.mark.parametrize("width", [500, 2500])
def test_nothing_is_wider_than_the_screen(width: int, tmp_path: Path) -> None:
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth;"
    assert evaluate(as_page(run(3, 47, checks=8)), script, tmp_path, width=width) <= 0


def violations(page: str, folder: Path, *, dark: bool) -> list[Any]:
    # Everything is opened: what is hidden is not looked at.
    script = """
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map((one) => [one.id, one.help, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))]);
    """
    with_axe = page.replace("</head>", f"<script>{axe()}</script></head>")
    found: list[Any] = evaluate(with_axe, script, folder, dark=dark)
    return found


@pytest.mark.parametrize(("page", "dark"), [("run", False), ("matrix", False), ("evil", True)])
def test_axe_finds_nothing(page: str, dark: bool, tmp_path: Path) -> None:
    text = page_of_matrix() if page == "matrix" else as_page(PAGES[page]())
    assert violations(text, tmp_path, dark=dark) == []
