"""The user's own Ansible: where it is configured, and what its programs say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError

_SECONDS = 120
_LINES = 12


def folder_of_ansible(project: Path, *files: Path) -> Path:
    """Return the folder that somebody would run Ansible in.

    That is the one beside the ``files`` (playbook, inventory) that has an ansible.cfg, or else the
    ``project``.
    """
    folders = [file if file.is_dir() else file.parent for file in files]
    return next((folder for folder in folders if (folder / "ansible.cfg").exists()), project)


def own_environment() -> dict[str, str]:
    """Return the environment that the user's own Ansible has, wherever it is run."""
    config = os.environ.get("ANSIBLE_CONFIG")
    return {**os.environ, **({"ANSIBLE_CONFIG": os.path.abspath(config)} if config else {})}


def ask_ansible(program: str, *arguments: str, folder: Path, about: Path) -> str:
    """Return what one of Ansible's programs prints, run in ``folder``.

    Raises KubeClusterError with what it complains of, as the fault of the file ``about``.
    """
    beside = Path(sys.executable).with_name(program)
    executable = str(beside) if beside.exists() else shutil.which(program)
    if executable is None:
        raise KubeClusterError(f"{program} is missing; install it with: pip install ansible-core")
    environment: Mapping[str, str] = {
        **own_environment(),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    try:
        done = subprocess.run(
            [executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KubeClusterError(f"{about}: {program} took longer than {_SECONDS} s") from None
    if done.returncode != 0:
        # What Ansible takes a file for comes first, and last what else it tried.
        words = done.stderr.strip() or done.stdout
        lines = [line for line in words.splitlines() if line.strip()][:_LINES]
        said = "\n".join(f"    {line}" for line in lines)
        raise KubeClusterError(f"{about} is no inventory that Ansible reads:\n{said}")
    return done.stdout
