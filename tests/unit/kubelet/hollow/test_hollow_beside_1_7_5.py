from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.spec import catalog
from tests.unit.kubelet.hollow.support import (
    BAD_KUBECONFIGS,
    REAL_KUBELETS,
    REFUSED_FLAGS,
    SECONDS,
    run_program,
)

needs_real = pytest.mark.skipif(
    not REAL_KUBELETS, reason="KUBE_REAL_KUBELETS names no folder with real hyperkubes"
)
CGO_ONLY = re.compile(
    "application-metrics|boot-id|container-hints|docker$|docker-(env|only|root)|enable-load|"
    "event-storage|(global-)?housekeeping|log-cadvisor|machine-id|storage-driver"
)
"""cAdvisor's flags, which a hyperkube built without cgo lacks."""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = Path(REAL_KUBELETS).resolve() / "hyperkube-v1.7.5_coreos.1"
    if not binary.exists():
        pytest.skip(f"there is no {binary}")
    link = tmp_path_factory.mktemp("real") / "hyperkube"
    link.symlink_to(binary)
    return link


def complaints(text: str) -> list[str]:
    """The lines with the error, with Go 1.8's wording where a newer Go built it."""
    lines = [line for line in text.splitlines() if line.startswith(("Error:", "Flag", "panic:"))]
    return [
        re.sub(r'((invalid|in|unit) (duration )?)"([^"]*)"', r"\1\4", line)
        .replace("parse error on line", "line")
        .replace(" [1] with length 1", "")
        for line in lines
    ]


HARMLESS = ("--tls-cert-file=/nonexist", "--client-ca-file=/nonexist")
"""Flags with which no kubelet starts, regardless of the rest of its command line."""


def both(program: Path, real: Path, *words: str) -> tuple[Any, Any]:
    ours = run_program(program, *words)
    theirs = subprocess.run(
        [str(real), *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return (ours.returncode, complaints(ours.stderr)), (
        theirs.returncode,
        complaints(theirs.stderr),
    )


@needs_real
@pytest.mark.parametrize(
    "word", [word for word, _ in REFUSED_FLAGS if not word.startswith(("--cluster-dns", "--log-b"))]
)
def test_refuses_what_the_real_one_refuses(program: Path, real: Path, word: str) -> None:
    ours, theirs = both(program, real, "kubelet", *HARMLESS, word)
    assert ours == theirs


@needs_real
@pytest.mark.parametrize(
    "words", [[], ["nope"], ["--help"], ["kubelet", "--help"], ["--nope"], ["--address=1"]]
)
def test_ends_as_the_real_one(program: Path, real: Path, words: list[str]) -> None:
    ours, theirs = both(program, real, *words)
    assert ours == theirs


@needs_real
def test_version_differs_in_hollow_only(program: Path, real: Path) -> None:
    theirs = subprocess.check_output([str(real), "kubelet", "--version"], text=True, stderr=-3)
    assert run_program(program, "kubelet", "--version").stdout == theirs.rstrip() + "+hollow\n"


@needs_real
@pytest.mark.parametrize("text", BAD_KUBECONFIGS, ids=range(len(BAD_KUBECONFIGS)))
def test_refuses_the_kubeconfigs_the_real_one_refuses(
    program: Path, real: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    words = ["--require-kubeconfig", f"--kubeconfig={path}"]
    ours, theirs = both(program, real, "kubelet", *HARMLESS, *words)
    assert ours == theirs


@needs_real
def test_flags_of_the_real_one(real: Path) -> None:
    known = catalog.flags("1.7")
    done = subprocess.run(
        [str(real), "kubelet", "--help"], capture_output=True, text=True, check=True
    )
    shown = set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", done.stderr, re.MULTILINE))
    assert shown <= set(known)
    missing = {name for name in set(known) - shown if not known[name].deprecated}
    missing -= {name for name in missing if known[name].hidden or CGO_ONLY.match(name)}
    assert missing == set()
