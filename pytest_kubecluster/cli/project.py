"""What a folder has that nodes can be made or taken from, and a first project for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2

from pytest_kubecluster.ansible.run import check_playbook
from pytest_kubecluster.errors import KubeClusterError

Kind = Literal["nodes", "playbook", "vagrantfile", "inventory"]
KINDS: tuple[Kind, ...] = ("nodes", "playbook", "vagrantfile", "inventory")

_VERSION = "1.30.0"
_DOCS = "the reference of the spec file has every key."
_PLAYBOOKS = ("site", "playbook", "main", "nodes", "kubelet", "kubernetes", "cluster")
_INVENTORIES = ("inventory", "hosts", "inventories")
_FOLDERS = ("", "provisioning", "ansible", "playbooks", "deploy")
_SUFFIXES = {"playbook": (".yml", ".yaml"), "inventory": (".ini", ".yml", ".yaml", "")}


@dataclass(frozen=True)
class Found:
    """What a folder has, as paths relative to it; empty for what it has not."""

    vagrantfile: str = ""
    playbook: str = ""
    inventory: str = ""

    @property
    def kind(self) -> Kind:
        """Where nodes come from: machines of the folder, or else ours."""
        if self.vagrantfile:
            return "vagrantfile"
        # A playbook can be tried on nodes of our own; an inventory may be of machines in use.
        if self.playbook:
            return "playbook"
        return "inventory" if self.inventory else "nodes"


def look_into(folder: Path) -> Found:
    """Return what ``folder`` has."""
    return Found(
        "." if (folder / "Vagrantfile").is_file() else "",
        next(_candidates(folder, _PLAYBOOKS, "playbook"), ""),
        next(_candidates(folder, _INVENTORIES, "inventory"), ""),
    )


def _candidates(folder: Path, names: tuple[str, ...], kind: str) -> Iterator[str]:
    for place in _FOLDERS:
        for name in names:
            for suffix in _SUFFIXES[kind]:
                path = folder / place / f"{name}{suffix}"
                is_inventory = kind == "inventory" and (path.is_file() or path.is_dir())
                if is_inventory or (kind == "playbook" and _is_playbook(path)):
                    yield str(path.relative_to(folder))


def _is_playbook(path: Path) -> bool:
    try:
        return path.is_file() and bool(check_playbook(path))
    except KubeClusterError:
        return False


def project_files(folder: Path, kind: Kind, found: Found) -> dict[str, str]:
    """Return the files of a first project, by their path in ``folder``.

    Raises KubeClusterError if the folder has not what nodes of that kind come from.
    """
    settings = _settings(folder, kind, found)
    values = {
        "kind": kind,
        "booted": kind in ("nodes", "playbook"),
        "boots": kind != "inventory",
        "settings": settings,
        "version": _VERSION,
        "docs": _DOCS,
        "option": " ".join(f"--{k.replace('_', '-')}={v}" for k, v in settings.items()),
    }
    files = {"kubecluster.toml": "kubecluster.toml.j2", "test_nodes.py": "test_nodes.py.j2"}
    if settings and not _has_pytest_settings(folder):
        files["pytest.ini"] = "pytest.ini.j2"
    files["tox.ini"] = "tox.ini.j2"
    host = _git_host(folder)
    if host != "gitlab":
        files[".github/workflows/nodes.yml"] = "github.yml.j2"
    if host != "github":
        files[".gitlab-ci.yml"] = "gitlab.yml.j2"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_kubecluster.cli"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return {path: environment.get_template(name).render(values) for path, name in files.items()}


def settings_to_add(folder: Path, kind: Kind, found: Found) -> list[str]:
    """Return the lines that the folder's own configuration of pytest has to get, if any."""
    settings = _settings(folder, kind, found)
    if not settings or not (path := _has_pytest_settings(folder)):
        return []
    quote = '"' if path.endswith(".toml") else ""
    return [
        f"add to the settings of pytest in {path}:",
        *(f"  {key} = {quote}{value}{quote}" for key, value in settings.items()),
    ]


def _settings(folder: Path, kind: Kind, found: Found) -> Mapping[str, str]:
    """Return pytest's settings that a kind of nodes needs."""
    own = {
        "playbook": found.playbook,
        "vagrantfile": found.vagrantfile,
        "inventory": found.inventory,
    }
    if kind == "nodes":
        return {}
    if not own[kind]:
        example = {"playbook": "site.yml", "vagrantfile": "Vagrantfile", "inventory": "hosts.ini"}
        raise KubeClusterError(
            f"{folder} has no {kind} that can be recognized by its name, such as {example[kind]}\n"
            "  choose another kind with --for, or run in the folder that has it"
        )
    settings = {f"kube_{kind}": own[kind]}
    if kind == "vagrantfile":
        # Without a playbook beside it, the Vagrantfile provisions its machines itself.
        settings |= (
            {"kube_playbook": found.playbook} if found.playbook else {"kube_provision": "no"}
        )
    return settings


def _has_pytest_settings(folder: Path) -> str:
    """Return the file in which a folder has settings of pytest, if it has any."""
    for name in ("pytest.toml", "pytest.ini", ".pytest.ini"):
        if (folder / name).exists():
            return name
    text = _text(folder / "pyproject.toml")
    if "[tool.pytest" in text:
        return "pyproject.toml"
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(_text(folder / name))
        except IniError:
            continue
        if parser.has_section(section):
            return name
    return ""


def _git_host(folder: Path) -> str:
    """Return ``github`` or ``gitlab`` if the folder's repository is there."""
    text = _text(folder / ".git" / "config")
    hosts = [host for host in ("github", "gitlab") if host in text]
    return hosts[0] if len(hosts) == 1 else ""


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
