from __future__ import annotations

import re
from pathlib import Path

from pytest_kubecluster.spec import catalog
from tests.make_docs import BEHAVIOUR, PAGE, page

ROOT = Path(__file__).parent.parent.parent


def test_page_is_made_from_the_data() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.make_docs"


def test_page_has_a_section_for_every_minor() -> None:
    assert re.findall(r"^## (1\.\d+)$", PAGE.read_text(), re.MULTILINE) == list(catalog.MINORS)
    assert set(BEHAVIOUR) <= set(catalog.MINORS)


def test_every_flag_the_page_names_is_one() -> None:
    named = set(re.findall(r"`--([a-z0-9-]+)", PAGE.read_text())) - {"exec"}
    assert named <= {name for minor in catalog.MINORS for name in catalog.flags(minor)}


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", PAGE]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
