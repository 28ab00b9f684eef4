"""Runs the user's own Ansible: where it is configured, and what its programs print."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import capture

_SECONDS = 120
_LINES = 12


PLAIN_OUTPUT: Mapping[str, str] = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_NOCOWS": "1",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    # A log elsewhere, possibly world-readable, would hold what is redacted in ours.
    "ANSIBLE_LOG_PATH": os.devnull,
    "ANSIBLE_DIFF_ALWAYS": "0",
}
"""Settings of the output that override the user's configuration."""


def folder_of_ansible(project: Path, *files: Path) -> Path:
    """Return the folder in which the user would run Ansible.

    That is the first folder of the ``files`` (playbook, inventory) that has an ansible.cfg, or else
    the ``project``.
    """
    folders = [file if file.is_dir() else file.parent for file in files]
    return next((folder for folder in folders if (folder / "ansible.cfg").exists()), project)


def own_environment() -> dict[str, str]:
    """Return the environment of the user's own Ansible, which does not depend on the folder."""
    config = os.environ.get("ANSIBLE_CONFIG")
    return {**os.environ, **({"ANSIBLE_CONFIG": os.path.abspath(config)} if config else {})}


def ask_ansible(program: str, *arguments: str, folder: Path, about: Path) -> str:
    """Return what one of Ansible's programs prints when it is run in ``folder``.

    Raises KubeClusterError with its complaint about the file ``about``. A program that takes too
    long is ended, with everything that it started.
    """
    beside = Path(sys.executable).with_name(program)
    executable = str(beside) if beside.exists() else shutil.which(program)
    if executable is None:
        raise KubeClusterError(f"{program} is missing; install it with: pip install ansible-core")
    environment: Mapping[str, str] = {
        **own_environment(),
        **PLAIN_OUTPUT,
        "ANSIBLE_NO_LOG": "0",
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    try:
        done = capture([executable, *arguments], timeout=_SECONDS, env=environment, cwd=folder)
    except KubeClusterError as error:
        raise KubeClusterError(f"{about}: {error}") from None
    if done.status != 0:
        # Ansible reports the likely format first, and the other formats that it tried after it.
        words = done.stderr.strip() or done.stdout
        lines = [line for line in words.splitlines() if line.strip()][:_LINES]
        shown = "\n".join(f"    {line}" for line in lines)
        raise KubeClusterError(f"{about} cannot be read by {program}:\n{shown}")
    return done.stdout
