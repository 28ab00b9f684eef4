from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_each_package_imports_only_the_packages_below_it() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed (the extra lint)")
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_test_module_imports_another() -> None:
    imported = re.compile(r"^\s*(from|import) tests\.[\w.]*\btest_", re.MULTILINE)
    files = (ROOT / "tests").rglob("*.py")
    assert [str(file) for file in files if imported.search(file.read_text())] == []
