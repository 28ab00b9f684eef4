from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kubecluster import facts


def test_flags_of_the_seed_are_known() -> None:
    known = facts.flags("1.7")
    assert known["require-kubeconfig"].type == "bool"
    assert known["cluster-dns"].type == "stringSlice"
    assert known["register-schedulable"].deprecated == "will be removed in a future version"
    assert known["loglevel"].type == "int", "one that only hyperkube has"
    assert "fail-swap-on" not in known
    assert len(known) == 167 + 12


def test_unknown_minor() -> None:
    with pytest.raises(ValueError, match=r"nothing is known about kubelet 1\.99"):
        facts.flags("1.99")


def test_data_is_small_and_read_late() -> None:
    data = Path(facts.__file__).parent / "data" / "kubelet.json"
    assert data.stat().st_size < 64 * 1024
    assert set(json.loads(data.read_text())["minors"]) >= set(facts.MINORS)
    code = "import pytest_kubecluster.plugin, pytest_kubecluster.facts as f; print(f._data.cache_info().currsize)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "0"


def test_configz_has_the_defaults() -> None:
    configuration = facts.configz("1.7")["componentconfig"]
    assert configuration["authentication"]["anonymous"]["enabled"] is True
    assert configuration["registerWithTaints"] is None
