from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster import ClusterSpec, FileStatement, KubeletSpec, Taint
from pytest_kubecluster.cli import make_parser
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.plugin.options import CLUSTER, OPTIONS
from pytest_kubecluster.spec import catalog
from tests.make_docs import BEHAVIOUR, PAGE, page
from tests.make_reference import FOLDER, PAGES
from tests.make_reference import _subcommands as commands_of
from tests.make_reference import page as reference_page

ROOT = Path(__file__).parent.parent.parent


def test_page_is_made_from_the_data() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.make_docs"


@pytest.mark.parametrize("name", PAGES)
def test_reference_is_generated_from_what_the_package_declares(name: str) -> None:
    assert (FOLDER / name).read_text() == reference_page(name), "run: python -m tests.make_docs"


def test_examples_of_the_methods_of_the_spec_work() -> None:
    examples = re.findall(r"```python\n(.*?)```", (FOLDER / "hooks.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {"spec": cluster_spec()}
    for example in examples:
        exec(example, names)
    changed: ClusterSpec = names["pytest_kubecluster_spec"](None, names["spec"])
    changed.check()
    assert changed.api_server == "https://api.example.org:6443"
    assert changed["master01"].kubelet.taints == ()
    kubelet = changed["worker01"].kubelet
    assert (kubelet.settings["v"], kubelet.settings["max-pods"]) == ("4", "50")
    assert kubelet.node_labels["zone"] == "a"
    assert kubelet.taints == (Taint.parse("dedicated=ci:NoExecute"),)
    assert kubelet.own_files == (FileStatement("/etc/kubernetes/ca.key", absent=True),)
    called = set(re.findall(r"\.(with_\w+)\(", "".join(examples)))
    methods = {name for kind in (ClusterSpec, KubeletSpec) for name in vars(kind)}
    assert called == {name for name in methods if name.startswith("with_")}


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


def test_pages_name_options_and_commands_that_exist() -> None:
    options = {CLUSTER, *(option.flag for option in OPTIONS)}
    # Some flags of kubelets begin alike.
    options |= {f"--{name}" for minor in catalog.MINORS for name in catalog.flags(minor)}
    commands = set(commands_of(make_parser()))
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = path.read_text()
        assert set(re.findall(r"--kube-[a-z-]*[a-z]", text)) <= options, path
        named = re.findall(r"(?:^    |`|^)kubecluster ([a-z]+)", text, re.MULTILINE)
        assert set(named) <= commands, path
