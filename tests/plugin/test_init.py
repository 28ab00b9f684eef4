"""What ``kubecluster init`` finds in a folder, and writes to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_kubecluster.cli.project import Found, look_into, project_files
from tests.plugin.support import command

ROOT = Path(__file__).parents[2]
PLAYBOOK = "- hosts: all\n  tasks: []\n"
VAGRANTFILE = 'Vagrant.configure("2") { |config| config.vm.define "worker01" }\n'
INVENTORY = (
    "[masters]\nmaster01 ansible_host=192.0.2.1\n[workers]\nworker01 ansible_host=192.0.2.2\n"
)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "found", "kind"),
    [
        ({}, Found(), "nodes"),
        ({"site_yml": PLAYBOOK}, Found(playbook="site.yml"), "playbook"),
        ({"site_yml": "a: 1\n"}, Found(), "nodes"),
        ({"ansible__playbook_yaml": PLAYBOOK}, Found(playbook="ansible/playbook.yaml"), "playbook"),
        ({"hosts_ini": INVENTORY}, Found(inventory="hosts.ini"), "inventory"),
        ({"inventory__hosts": INVENTORY}, Found(inventory="inventory"), "inventory"),
        (
            {"site_yml": PLAYBOOK, "hosts": INVENTORY},
            Found(playbook="site.yml", inventory="hosts"),
            "playbook",
        ),
        (
            {"Vagrantfile": VAGRANTFILE, "site_yml": PLAYBOOK},
            Found(vagrantfile=".", playbook="site.yml"),
            "vagrantfile",
        ),
    ],
)
def test_folder_says_where_nodes_come_from(
    files: dict[str, str], found: Found, kind: str, tmp_path: Path
) -> None:
    write(tmp_path, **files)
    assert look_into(tmp_path) == found
    assert found.kind == kind


def items(folder: Path) -> str:
    argv = [sys.executable, "-m", "pytest", "--kube-cluster", "--collect-only", "-q"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_project_for_nodes(tmp_path: Path) -> None:
    status, output = command(tmp_path, "init", "new")
    assert status == 0, output
    assert output.startswith("for nodes that are booted for the tests:\n  wrote kubecluster.toml\n")
    assert output.endswith("next:\n  cd new\n  kubecluster doctor\n  pytest --kube-cluster\n")
    assert "test_nodes.py::test_worker_is_in_zone_a[worker01]" in items(tmp_path / "new")
    status, output = command(tmp_path, "init", "new")
    assert (status, "new has kubecluster.toml and test_nodes.py already" in output) == (1, True)


def test_project_for_a_playbook(tmp_path: Path) -> None:
    write(tmp_path, site_yml=PLAYBOOK)
    status, output = command(tmp_path, "init")
    assert status == 0, output
    assert "for your playbook site.yml, on machines that are booted for it:" in output
    assert (tmp_path / "pytest.ini").read_text() == "[pytest]\nkube_playbook = site.yml\n"
    assert "test_kubelet_is_as_specified[worker01]" in items(tmp_path)


def test_project_for_an_inventory(tmp_path: Path) -> None:
    write(tmp_path, hosts_ini=INVENTORY)
    status, output = command(tmp_path, "init")
    assert status == 0, output
    assert "doctor" not in output
    assert "test_kubelet_is_as_specified[worker01]" in items(tmp_path)
    ci = (tmp_path / ".gitlab-ci.yml").read_text()
    assert "docker.io" not in ci
    assert "privileged" not in ci


@pytest.mark.skipif(not shutil.which("vagrant"), reason="vagrant is not installed")
def test_project_for_a_vagrantfile(tmp_path: Path) -> None:
    write(tmp_path, Vagrantfile=VAGRANTFILE, site_yml=PLAYBOOK)
    status, output = command(tmp_path, "init", "--for", "vagrantfile")
    assert status == 0, output
    ini = "[pytest]\nkube_vagrantfile = .\nkube_playbook = site.yml\n"
    assert (tmp_path / "pytest.ini").read_text() == ini


def test_kind_that_the_folder_has_not(tmp_path: Path) -> None:
    status, output = command(tmp_path, "init", "--for=inventory")
    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert "has no inventory that can be recognized by its name, such as hosts.ini" in output


def test_files_that_are_there_stay_and_settings_are_named(tmp_path: Path) -> None:
    own = {"tox_ini": "[tox]\n", "pyproject_toml": "[tool.pytest.ini_options]\n"}
    write(tmp_path, site_yml=PLAYBOOK, **own)
    status, output = command(tmp_path, "init")
    assert status == 0, output
    assert "  left as it is: tox.ini\n" in output
    assert (tmp_path / "tox.ini").read_text() == "[tox]\n"
    assert not (tmp_path / "pytest.ini").exists()
    assert 'of pytest in pyproject.toml:\n  kube_playbook = "site.yml"\n' in output


@pytest.mark.parametrize(
    ("host", "there", "missing"),
    [
        ("github.com", ".github/workflows/nodes.yml", ".gitlab-ci.yml"),
        ("gitlab.example.org", ".gitlab-ci.yml", ".github/workflows/nodes.yml"),
    ],
)
def test_ci_is_that_of_the_repository(host: str, there: str, missing: str, tmp_path: Path) -> None:
    write(tmp_path, _git__config=f'[remote "origin"]\n\turl = git@{host}:a/b.git\n')
    files = project_files(tmp_path, "nodes", Found())
    assert there in files
    assert missing not in files


def test_recipes_in_the_documentation_are_what_is_written() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    files = project_files(Path("/nowhere"), "nodes", Found())
    for name in (".github/workflows/nodes.yml", ".gitlab-ci.yml", "tox.ini"):
        assert f"\n{files[name]}```\n" in page, name
        if name.endswith(".yml"):
            assert yaml.safe_load(files[name])
