from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kubecluster.spec import catalog
from tests.make_docs import BEHAVIOUR, PAGE, page
from tests.make_reference import FOLDER, PAGES
from tests.make_reference import page as reference_page

ROOT = Path(__file__).parent.parent.parent


def test_page_is_made_from_the_data() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.make_docs"


@pytest.mark.parametrize("name", PAGES)
def test_reference_is_generated_from_what_the_package_declares(name: str) -> None:
    assert (FOLDER / name).read_text() == reference_page(name), "run: python -m tests.make_docs"


def test_page_has_a_section_for_every_minor() -> None:
    assert re.findall(r"^## (1\.\d+)$", PAGE.read_text(), re.MULTILINE) == list(catalog.MINORS)
    assert set(BEHAVIOUR) <= set(catalog.MINORS)


def test_every_flag_the_page_names_is_one() -> None:
    named = set(re.findall(r"`--([a-z0-9-]+)", PAGE.read_text())) - {"exec"}
    assert named <= {name for minor in catalog.MINORS for name in catalog.flags(minor)}


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_readme_can_be_read_in_ten_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed (the extra docs)")
    mkdocs = Path(sys.executable).with_name("mkdocs")
    argv = [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial" / "index.html").exists()
