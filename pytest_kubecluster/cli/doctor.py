"""The subcommand that shows what this host must have, what is missing, and what brings it."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.markup import escape

from pytest_kubecluster.cli.common import DONE, FAILED, AddCommand, session_of, table_width
from pytest_kubecluster.cluster.sources import Existing
from pytest_kubecluster.machines.factory import host_requirements
from pytest_kubecluster.util.progress import count


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    add("doctor", _doctor, "Show what this host needs to boot a cluster", options=True)


def _doctor(arguments: argparse.Namespace) -> int:
    session = session_of(arguments.options)
    settings = session.settings
    machines, kubelets = settings.machines.name, "real" if settings.real else "hollow"
    # The machines of an inventory or a Vagrantfile are not asked for: they may not run.
    if isinstance(settings.machines, Existing):
        print(f"for machines of {settings.machines.path}:")
        spec = None
    else:
        spec = session.spec
        print(f"for {spec.summary()} on {machines}, with {kubelets} kubelets:")
    console = Console(width=table_width(), highlight=False)
    found = [*host_requirements(machines, spec, real=settings.real)]
    for one in found:
        state = "[green]ok[/]      " if one.met else "[bold red]missing[/] "
        text = escape(one.found if one.met else one.problem)
        console.print(f"{state} {one.name:{max(len(one.name) for one in found)}}  {text}")
    missing = [one for one in found if not one.met]
    for one in missing:
        print(f"\n{one.name}: {one.way_out or one.problem}")
    verb = "is" if len(missing) == 1 else "are"
    number = count(len(missing), "requirement") if missing else "nothing"
    print(f"\n{number} {verb if missing else 'is'} missing")
    return FAILED if missing else DONE
