"""The parser of a subcommand, whose help shows the options of pytest that it takes, too."""

from __future__ import annotations

import argparse

from pytest_kubecluster.plugin.options import OPTIONS

OPTIONS_TOO = "Accepts the --kube-... options of pytest, too."


class CommandParser(argparse.ArgumentParser):
    """A parser that does not read the options of pytest, and shows them where they are accepted."""

    def format_help(self) -> str:
        """Return the help, with all options."""
        shown = super().format_help()
        if self.epilog != OPTIONS_TOO:
            return shown
        formatter = self._get_formatter()
        formatter.start_section("options of pytest")
        formatter.add_arguments(list(_actions()))
        formatter.end_section()
        return f"{shown.removesuffix(OPTIONS_TOO + chr(10))}{formatter.format_help()}"


def _actions() -> list[argparse.Action]:
    """Return the options as argparse shows them."""
    shown = argparse.ArgumentParser(add_help=False)
    for option in OPTIONS:
        nargs = None if option.bare is None else "?"
        text = option.full_help.replace("%", "%%")
        shown.add_argument(option.flag, nargs=nargs, metavar=option.metavar, help=text)
    return shown._actions
