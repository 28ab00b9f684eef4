"""Roles and collections that a playbook requires, from files: no server is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pytest_kubecluster.ansible.requirements import find_requirements, install_requirements
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import Commands


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose playbook needs a role from a tarball, and a collection from a folder."""
    project = tmp_path / "project"
    role = tmp_path / "greeting"
    for name, text in {
        "meta/main.yml": "galaxy_info: {author: me, description: d, license: MIT, min_ansible_version: '2.9'}\n",
        "tasks/main.yml": "- debug: msg=hello\n",
    }.items():
        (role / name).parent.mkdir(parents=True)
        (role / name).write_text(text)
    project.mkdir()
    with tarfile.open(project / "greeting.tar.gz", "w:gz") as archive:
        archive.add(role, "greeting")
    collection = project / "things"
    (collection / "roles" / "thing" / "tasks").mkdir(parents=True)
    (collection / "roles" / "thing" / "tasks" / "main.yml").write_text("- debug: msg=thing\n")
    (collection / "galaxy.yml").write_text(
        "namespace: my\nname: things\nversion: 1.0.0\nauthors: [me]\nreadme: README.md\n"
    )
    (collection / "README.md").write_text("Things\n")
    (project / "requirements.yml").write_text(
        "roles:\n- {src: greeting.tar.gz, name: greeting}\n"
        "collections:\n- {name: ./things, type: dir}\n"
    )
    (project / "site.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  roles: [greeting, my.things.thing, beside]\n"
    )
    beside = project / "own-roles" / "beside" / "tasks"
    beside.mkdir(parents=True)
    (beside / "main.yml").write_text("- debug: msg=beside\n")
    (project / "ansible.cfg").write_text("[defaults]\nroles_path = own-roles\n")
    return project


def install(project: Path, folder: Path, commands: Commands) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    return install_requirements(
        project / "site.yml",
        folder,
        commands,
        timeout=120,
        environment=os.environ,
        cwd=project,
    )


def test_playbook_finds_what_it_requires_and_what_it_found_before(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    folder = tmp_path / "required"
    commands = Commands(tmp_path / "logs")
    (tmp_path / "logs").mkdir(exist_ok=True)
    settings = install(project, folder, commands)
    playbook = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [playbook, "-i", "localhost,", "-c", "local", "site.yml"],
        cwd=project,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: [localhost]") == 3
    assert not list(home.rglob("greeting"))
    assert not list(home.rglob("things"))
    log = (tmp_path / "logs" / "galaxy.log").read_text()
    assert install(project, folder, commands) == settings
    assert (tmp_path / "logs" / "galaxy.log").read_text() == log


def test_what_cannot_be_installed_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (project / "requirements.yml").write_text("- {src: nowhere.tar.gz, name: greeting}\n")
    with pytest.raises(KubeClusterError) as caught:
        install(project, tmp_path / "required", Commands(tmp_path / "logs"))
    message = str(caught.value)
    assert f"the roles that {project}/requirements.yml requires cannot be installed\n" in message
    assert "what ansible-galaxy printed:\n" in message
    assert "where no server can be reached, name files there" in message


def test_file_that_is_no_yaml(project: Path, tmp_path: Path) -> None:
    (project / "requirements.yml").write_text("roles: [\n")
    with pytest.raises(KubeClusterError, match=r"requirements\.yml cannot be read as YAML"):
        install(project, tmp_path / "required", Commands(tmp_path))


def test_files_of_a_playbook(project: Path) -> None:
    (project / "roles").mkdir()
    (project / "roles" / "requirements.yaml").touch()
    found = find_requirements(project / "site.yml")
    assert [str(path.relative_to(project)) for path in found] == [
        "requirements.yml",
        "roles/requirements.yaml",
    ]
