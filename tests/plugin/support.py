"""Runs the kubecluster command as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def command(project: Path, *words: str, **environment: str) -> tuple[int, str]:
    """Return the exit status, and all that was printed."""
    argv = [sys.executable, "-m", "pytest_kubecluster", *words]
    env = {**os.environ, **environment}
    done = subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
