"""The subcommand that writes a first project."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_kubecluster.cli.common import DONE, AddCommand
from pytest_kubecluster.cli.project import KINDS, look_into, project_files, settings_to_add
from pytest_kubecluster.errors import KubeClusterError

_ESSENTIAL = ("kubecluster.toml", "test_nodes.py")
_ABOUT = {
    "nodes": "nodes that are booted for the tests",
    "playbook": "your playbook {0.playbook}, on machines that are booted for it",
    "vagrantfile": "the machines of your Vagrantfile",
    "inventory": "the machines of your inventory {0.inventory}",
}


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    init = add("init", _init, "Write a first project: spec, tests, tox and CI files")
    init.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to write to (default: the current one)",
    )
    init.add_argument(
        "--for",
        dest="kind",
        choices=KINDS,
        metavar="|".join(KINDS),
        help="where the nodes come from (default: what is found in the folder, or else new nodes)",
    )


def _init(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    if folder.exists() and not folder.is_dir():
        raise KubeClusterError(f"{folder} is not a folder")
    found = look_into(folder)
    kind = arguments.kind or found.kind
    files = project_files(folder, kind, found)
    there = [name for name in files if (folder / name).exists()]
    if essential := [name for name in there if name in _ESSENTIAL]:
        raise KubeClusterError(
            f"{folder.absolute()} has {' and '.join(essential)} already, and nothing is overwritten"
        )
    print(f"for {_ABOUT[kind].format(found)}:")
    try:
        for name, text in files.items():
            if name in there:
                print(f"  left as it is: {name}")
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"  wrote {name}")
    except OSError as error:
        raise KubeClusterError(f"{error.filename} cannot be written: {error.strerror}") from None
    for line in settings_to_add(folder, kind, found):
        print(line)
    steps = [] if folder == Path() else [f"cd {folder}"]
    steps += [] if kind == "inventory" else ["kubecluster doctor"]
    print("next:", *steps, "pytest --kube-cluster", sep="\n  ")
    return DONE
