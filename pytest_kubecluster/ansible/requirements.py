"""Install the roles and collections that a user's playbook requires, for one cluster only."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.ansible_cli import ask_ansible
from pytest_kubecluster.util.process import CommandError, Commands

_NAMES = ("requirements.yml", "requirements.yaml")
_FOLDERS = ("", "roles", "collections")
"""Where ansible-galaxy's users, and AWX, keep the file: beside the playbook, or in these."""
_KINDS = {"role": "DEFAULT_ROLES_PATH", "collection": "COLLECTIONS_PATHS"}
_DONE = "installed"


def find_requirements(playbook: Path) -> list[Path]:
    """Return the requirement files that belong to a playbook."""
    places = (playbook.parent / folder for folder in _FOLDERS)
    return [path for place in places for name in _NAMES if (path := place / name).is_file()]


def install_requirements(
    playbook: Path,
    folder: Path,
    commands: Commands,
    *,
    timeout: float,
    environment: Mapping[str, str],
    cwd: Path,
) -> dict[str, str]:
    """Install what a playbook requires below ``folder``, and return the settings that find it.

    Nothing is installed for the user, and nothing again unless a file changed. The places that the
    user's Ansible looks in stay, after ours. Raises KubeClusterError.
    """
    wanted = [(path, kind) for path in find_requirements(playbook) for kind in _required(path)]
    if not wanted:
        return {}
    digest = hashlib.sha256()
    for path, kind in wanted:
        digest.update(f"{path} {kind}\n".encode() + path.read_bytes())
    done = folder / _DONE
    if not done.exists() or done.read_text() != digest.hexdigest():
        for path, kind in wanted:
            _install(path, kind, folder, commands, timeout, environment, cwd)
        done.write_text(digest.hexdigest())
    places = _configured_places(cwd, playbook)
    return {
        f"ANSIBLE_{kind.upper()}S_PATH": os.pathsep.join(
            [str(folder / f"{kind}s"), *places.get(setting, [])]
        )
        for kind, setting in _KINDS.items()
    }


def _required(path: Path) -> Iterator[str]:
    """Yield which kinds of things a file requires: a list is one of roles."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeClusterError(f"{path} cannot be read as YAML: {error}") from None
    if isinstance(document, list) and document:
        yield "role"
    elif isinstance(document, dict):
        yield from (kind for kind in _KINDS if document.get(f"{kind}s"))


def _install(
    path: Path,
    kind: str,
    folder: Path,
    commands: Commands,
    timeout: float,
    environment: Mapping[str, str],
    cwd: Path,
) -> None:
    target = folder / f"{kind}s"
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    program = galaxy if Path(galaxy).exists() else "ansible-galaxy"
    argv = [program, kind, "install", "-r", str(path), "-p", str(target)]
    own = {"ANSIBLE_GALAXY_CACHE_DIR": str(folder / "cache"), "ANSIBLE_NOCOLOR": "1"}
    try:
        commands.run("galaxy", argv, timeout=timeout, env={**environment, **own}, cwd=cwd)
    except CommandError as error:
        said = "\n".join(f"    {line}" for line in error.tail[-8:]) or "    (no output)"
        raise KubeClusterError(
            f"the {kind}s that {path} requires cannot be installed\n"
            f"  what ansible-galaxy printed:\n{said}\n"
            f"  full log: {error.log}\n"
            f"  where no server can be reached, name files there (source: ./my-{kind}.tar.gz), or "
            f"have the {kind}s beside the playbook and remove them from {path.name}"
        ) from None


def _configured_places(cwd: Path, about: Path) -> dict[str, list[str]]:
    """Return where the user's Ansible looks for roles and collections, by its setting."""
    dumped = ask_ansible("ansible-config", "dump", "--format", "json", folder=cwd, about=about)
    settings: list[dict[str, Any]] = json.loads(dumped)
    return {
        one["name"]: [str(place) for place in one["value"]]
        for one in settings
        if one.get("name") in _KINDS.values()
    }
