"""The folders that this user's runs share."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder for what is worth keeping between runs."""
    return platformdirs.user_cache_path("kubecluster")


def registry_root() -> Path:
    """Return the folder of the registry: $XDG_STATE_HOME/kubecluster."""
    return platformdirs.user_state_path("kubecluster")
