"""Writes the generated part of the pages in docs/reference, from what the package declares.

python -m tests.make_docs
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from pytest_kubecluster.cli import make_parser
from pytest_kubecluster.layouts.hardened import MEASURES
from pytest_kubecluster.plugin import fixtures, hookspecs
from pytest_kubecluster.plugin.options import CLUSTER, CLUSTER_HELP, OPTIONS
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.catalog import MINORS

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
MARK = "<!-- The rest of this page is generated: python -m tests.make_docs -->\n"


def options() -> Iterator[str]:
    """Yield the table of the options."""
    yield "| option | ini key | default | meaning |"
    yield "|---|---|---|---|"
    yield f"| `{CLUSTER}` | | | {CLUSTER_HELP} |"
    for option in OPTIONS:
        value = f"[={option.metavar}]" if option.bare is not None else f"={option.metavar}"
        word = _code(f"{option.flag}{value}")
        default = option.shown_default or (_code(option.default) if option.default else "")
        yield f"| {word} | `{option.ini}` | {default} | {option.help} |"


def fixture_table() -> Iterator[str]:
    """Yield the table of the fixtures, by their docstrings."""
    yield "| fixture | value |"
    yield "|---|---|"
    for name in sorted(vars(fixtures)):
        if name.startswith("kube_"):
            text = " ".join(_docstring(vars(fixtures)[name]).split())
            yield f"| `{name}` | {text.replace('``', '`')} |"


def hooks() -> Iterator[str]:
    """Yield a section for each hook, by its docstring."""
    for name in sorted(vars(hookspecs)):
        if name.startswith("pytest_kubecluster_"):
            hook = vars(hookspecs)[name]
            arguments = ", ".join(inspect.signature(hook).parameters)
            yield f"## `{name}({arguments})`\n"
            yield _docstring(hook).replace("``", "`")


def commands() -> Iterator[str]:
    """Yield a section for each subcommand."""
    for name, parser in _subcommands(make_parser()).items():
        yield f"## `kubecluster {name}`\n"
        yield f"{parser.description}.\n"
        arguments = [action for action in parser._actions if action.help != argparse.SUPPRESS]
        for action in arguments:
            if not isinstance(action, argparse._HelpAction):
                yield f"- {_code(_usage(action))}: {action.help}"
        if len(arguments) > 1:
            yield ""
        if parser.epilog:
            yield f"{parser.epilog}\n"


def measures() -> Iterator[str]:
    """Yield the table of what the layout hardened sets."""
    yield "| setting | value | kubelets | reason | source |"
    yield "|---|---|---|---|---|"
    for first, last, flag, value, reason, source in MEASURES:
        known = [minor for minor in MINORS if flag in catalog.flags(minor)]
        numbers = [int(minor.partition(".")[2]) for minor in known]
        shown = [number for number in numbers if first <= number <= last]
        text = json.dumps(value) if isinstance(value, (dict, tuple, bool)) else str(value)
        kubelets = f"1.{shown[0]} to 1.{shown[-1]}" if len(shown) > 1 else f"1.{shown[0]}"
        yield f"| `--{flag}` | {_code(text)} | {kubelets} | {reason} | {source} |"


PAGES = {
    "hardened.md": measures,
    "options.md": options,
    "fixtures.md": fixture_table,
    "hooks.md": hooks,
    "command.md": commands,
}


def page(name: str) -> str:
    """Return a page: what is written by hand up to the mark, and what is generated."""
    written, _, _ = (FOLDER / name).read_text().partition(MARK)
    generated = "\n".join(PAGES[name]()).rstrip("\n")
    return f"{written.rstrip()}\n\n{MARK}\n{generated}\n"


def write_pages() -> None:
    """Write all pages."""
    for name in PAGES:
        (FOLDER / name).write_text(page(name))


def _docstring(thing: object) -> str:
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def _code(text: str) -> str:
    """Return a text in code type that does not end the cell of a table."""
    escaped = text.replace("|", "\\|")
    return f"`{escaped}`"


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _usage(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return value
    flag = action.option_strings[-1]
    return flag if action.nargs == 0 else f"{flag} {value}"
