from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hollow_kubelet.flags import FlagSet

from tests.unit.kubelet.hollow.support import (
    FAILS,
    FLAG_VALUES,
    REAL_KUBELETS,
    SECONDS,
    Ended,
    Play,
    Run,
)

NAMED = re.compile(r"(?P<kind>hyperkube|kubelet)-v1\.(?P<minor>\d+)\..*")
FOUND = (
    sorted(path for path in Path(REAL_KUBELETS).glob("*-v1.*") if NAMED.fullmatch(path.name))
    if REAL_KUBELETS
    else []
)
WITHOUT = pytest.param(
    None, marks=pytest.mark.skip("KUBE_REAL_KUBELETS names no folder with real kubelets")
)
beside = pytest.mark.parametrize("binary", FOUND or [WITHOUT], ids=lambda path: path and path.name)


class Beside:
    """A real kubelet, which is only ever asked for its version or help, or refuses its flags."""

    def __init__(self, binary: Path, folder: Path) -> None:
        name = NAMED.fullmatch(binary.name)
        assert name
        self.number = int(name["minor"])
        self.link = folder / name["kind"]
        self.link.symlink_to(binary.resolve())
        self.words = ["kubelet"] if name["kind"] == "hyperkube" else []

    def __call__(self, *words: str) -> Ended:
        done = subprocess.run(
            [str(self.link), *self.words, *words],
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        # Kubelets built from MicroShift's sources name a service before each line of their log.
        return Ended(
            done.returncode, done.stdout, re.sub(r"^\?\?\? ", "", done.stderr, flags=re.MULTILINE)
        )


def go_independent(text: str) -> str:
    """A message without the wording of one Go version: the real kubelets were built by newer ones."""
    text = re.sub(r'((duration|unit) )\\?"([^"\\]*)\\?"', r"\1\3", text)
    return re.sub(r"(parse error on )?line 1, column \d+", "line", text).replace("-field", " field")


REFUSED = (
    "--nope", "--no_pe=1", "---x", "-x", "--node-ip", "-v", "-vx", "--port=1.5", "--port=5000000000",
    "--anonymous-auth=maybe", "--sync-frequency=5", "--sync-frequency=5x", "--sync-frequency=",
    "--address=1.2.3", '--cluster-dns=a"b', "--register-with-taints=bad",
    "--register-with-taints=a=:Foo", "--register-with-taints=a=b=c:NoSchedule", "--version=x",
    "--vmodule=a",
)  # fmt: skip


@beside
def test_refuses_as_the_real_one(run: Run, tmp_path: Path, binary: Path) -> None:
    real = Beside(binary, tmp_path)
    for word in REFUSED:
        theirs, ours = real(FAILS, word, "--nope"), run(real.number, FAILS, word, "--nope")
        assert ours.status == theirs.status, word
        assert go_independent(ours.problem) == go_independent(theirs.problem), word
        assert bool(ours.out) == bool(theirs.out), word


@beside
def test_has_the_flags_and_warnings_of_the_real_one(
    play: Play, run: Run, tmp_path: Path, binary: Path
) -> None:
    real = Beside(binary, tmp_path)
    play(real.number)
    flags = FlagSet().flags
    shown = real("--help")
    names = re.findall(r"^  (?:-\w, |    )--([\w-]+)", shown.out + shown.err, re.MULTILINE)
    assert {name.replace("_", "-") for name in names} <= {*flags, "max-housekeeping-interval"}
    words = [
        f"--{name}={FLAG_VALUES[flag.kind]}"
        for name, flag in flags.items()
        if name in names and name not in ("help", "version")
    ]
    theirs, ours = real(*words, "--version"), run(real.number, *words, "--version")
    warnings = [line for line in theirs.err.splitlines() if line.startswith("Flag --")]
    assert theirs.status == 0, theirs.problem
    assert (ours.status, ours.err.splitlines()) == (0, warnings)
    assert theirs.out.startswith(f"Kubernetes v1.{real.number}.")


@beside
def test_has_the_defaults_of_the_real_one(play: Play, tmp_path: Path, binary: Path) -> None:
    real = Beside(binary, tmp_path)
    play(real.number)
    flags = FlagSet().flags
    shown = real("--help")
    for line in re.findall(r"^  (?:-\w, |    )--(.*)$", shown.out + shown.err, re.MULTILINE):
        name = re.split(r"[ \[=]", line)[0].replace("_", "-")
        default = re.search(r" \(default (.*?)\)( \(DEPRECATED:.*)?$", line)
        if default and name in flags and flags[name].origin == "kubelet" and name not in CHANGING:
            assert default[1].strip('"') == flags[name].default.strip('"'), name


CHANGING = ("cloud-provider-gce-lb-src-cidrs", "hostname-override")
"""Flags whose default is not always the same."""
