from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_kubecluster.spec import catalog
from tests.unit.kubelet.hollow.support import FAILS, HEAD, LOCKED, NUMBERS, Run, needed


@pytest.mark.parametrize("number", NUMBERS)
def test_feature_gates(run: Run, number: int) -> None:
    fails = [FAILS] if number > 7 else []  # 1.7 takes its lock first
    ended = run(number, *needed(number), *fails, "--feature-gates=Nope=true")
    word = "feature gate" if number >= 12 else "key"
    assert f"unrecognized {word}: Nope" in ended.problem
    for name in ("AllAlpha", "RotateKubeletServerCertificate"):
        if name in catalog.feature_gates(f"1.{number}"):
            assert LOCKED.replace('"', "") in run(
                number, *needed(number), FAILS, f"--feature-gates={name}=true"
            ).problem.replace('\\"', "").replace('"', "")


def test_an_unknown_feature_gate_in_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "featureGates: {Nope: true}\n")
    for number in range(10, 32):
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert re.search("unrecognized (key|feature gate): Nope", ended.problem)
    for number in range(32, 37):  # a mistake in the real kubelet
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert ended.status == 2
        assert re.search("^panic: .*unrecognized feature gate: Nope$", ended.err, re.MULTILINE)


def test_a_locked_feature_gate(run: Run) -> None:
    problem = "cannot set feature gate APIListChunking to false, feature is locked to true"
    assert problem in run(30, *needed(30), FAILS, "--feature-gates=APIListChunking=false").problem
    ended = run(30, *needed(30), FAILS, "--feature-gates=APIListChunking=true")
    assert "Setting GA feature gate APIListChunking=true." in ended.err
