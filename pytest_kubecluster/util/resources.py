"""The folder of the files that run on machines or build them."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def provisioning() -> Path:
    """Return the provisioning folder: in an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "provisioning"
    return installed if installed.is_dir() else _PACKAGE.parent / "provisioning"
