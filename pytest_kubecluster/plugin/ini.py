"""Read a key of pytest's configuration file as the text that an option would have.

pytest 9 reads ``[tool.pytest]`` and ``pytest.toml`` with TOML's own types, and refuses every other
type than that of the key: ``kube_masters = 3`` is no string. Our keys take whichever is natural.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pytest_kubecluster.plugin.options import HYPERKUBE, Option

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def ini_text(config: pytest.Config, option: Option[Any]) -> str | None:
    """Return the text of an option's key; None where the key is missing or empty.

    Raises ValueError for a type that no option has.
    """
    try:
        value = config.getini(option.ini)
    except (TypeError, pytest.UsageError):
        value = _native(config, option)
    if isinstance(value, bool):
        return _boolean(value, option)
    if isinstance(value, list):
        return _joined(value, option)
    if isinstance(value, dict):
        raise ValueError("must be a value, not a table")
    if isinstance(value, float) and option is HYPERKUBE:
        raise ValueError(f'must be text, since the number {value} may have lost a zero: "1.30.0"')
    # An empty key sets nothing.
    return None if value in (None, "") else str(value)


def _boolean(value: bool, option: Option[Any]) -> str | None:
    if option.bare is None:
        raise ValueError(f"must be {option.metavar}, not {str(value).lower()}")
    if option.ini_type == "bool":
        return "yes" if value else "no"
    # As the option without a value, or no option.
    return option.bare if value else None


def _joined(value: list[Any], option: Option[Any]) -> str:
    if not option.is_list:
        raise ValueError(f"must be one value ({option.metavar}), not a list")
    return ",".join(map(str, value))


def _native(config: pytest.Config, option: Option[Any]) -> object:
    """Return the value as TOML has it."""
    path = config.inipath
    if path is None or path.suffix != ".toml":
        raise ValueError(f"must be {option.metavar}")
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    table = document.get("tool", {}) if path.name == "pyproject.toml" else document
    return table.get("pytest", {}).get(option.ini)
