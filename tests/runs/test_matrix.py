"""Many versions on one cluster, by the command as its user gives it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from junitparser import JUnitXml

from tests.runs.conftest import NOTHING, ONE_NODE, Bench, command, docker, read_until

# One of each way to start a kubelet and of each runtime: hyperkube from an ACI and from a docker
# image, the image with the script, the kubelet of the host with its file.
FORMS = ("1.7.5", "1.16.15", "1.18.20", "1.23.17", "1.30.0")


def test_every_form_of_launcher_passes_on_one_cluster(bench: Bench) -> None:
    files = ("--junit=matrix.xml", "--html=matrix.html", "--kube-report=report")
    status, output = command(bench, "matrix", *FORMS, *files, "--kube-masters=1")
    assert status == 0, output
    assert output.count("kubecluster: boot") == 1
    assert "5 of 5 versions pass, with hollow kubelets on 1 master, 1 worker" in output
    rows = {line[:44].strip(): line[44:].split() for line in output.splitlines()}
    assert rows["check"] == list(FORMS)
    assert rows["healthz is ok"] == ["ok"] * 5
    number, *others = rows["configuration has the rendered bytes"]
    assert others == ["ok"] * 4
    assert f"{number}  not applicable: the spec states no configuration file" in output
    first, number, *others = rows["labels are those of the spec"]
    assert (first, others) == ("ok", [number] * 3)
    assert f"{number}  not applicable: " in output
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(bench.project / "matrix.xml"))}
    assert list(suites) == [f"kubelet v{version}" for version in FORMS]
    assert all(suite.failures == suite.errors == 0 < suite.tests for suite in suites.values())
    page = (bench.project / "matrix.html").read_text()
    assert "5 of 5 versions pass" in page
    assert (bench.project / "report" / "index.html").read_text() == page
    status, output = command(bench, "compare", "report", "report/report.json")
    assert status == 0, output
    assert "10 of 10 versions pass" in output


def test_own_tests_and_a_version_that_fails(bench: Bench) -> None:
    bench.write(
        "test_own.py",
        "def test_own(kube_node, kube_spec):\n"
        "    assert kube_node.kubelet == kube_node.spec.kubelet\n"
        "    assert kube_spec.version.minor != 10, 'not this one'\n",
    )
    status, output = command(bench, "matrix", "1.7.5", "1.10.13", *ONE_NODE, "--", "test_own.py")
    assert status == 1, output
    rows = {line[:44].strip(): line[44:].split() for line in output.splitlines()}
    assert rows["own"] == ["ok", "FAIL"]
    assert "1.10.13: test_own on master01: AssertionError: not this one" in output
    assert "1 of 2 versions pass" in output


WRAPPER = """
WRAPPER = "/usr/lib/coreos/kubelet-wrapper --version"


def test_slash_kubelet_is_a_script_in_1_17_and_1_18(kube_node, kube_spec):
    tag = f"KUBELET_IMAGE_TAG={kube_spec.image_tag}"
    plain = kube_node.host.run(f"{tag} {WRAPPER}")
    told = kube_node.host.run(f"{tag} KUBELET_IMAGE_ARGS=--exec=kubelet {WRAPPER}")
    assert told.stdout.startswith(f"Kubernetes v{kube_spec.version.number}")
    if kube_spec.version.minor == 16:
        assert plain.stdout == told.stdout
    else:
        assert (plain.rc, plain.stderr) == (0, "--version: command not supported\\n")
"""


def test_wrapper_runs_what_the_image_of_the_time_ran(bench: Bench) -> None:
    bench.write("test_own.py", WRAPPER)
    versions = ("1.16.15", "1.17.17", "1.18.20")
    status, output = command(bench, "matrix", *versions, *ONE_NODE, "--", "test_own.py")
    assert status == 0, output
    assert "3 of 3 versions pass" in output


def test_kubelet_that_does_not_start_is_a_column_of_its_own(bench: Bench) -> None:
    bench.write(
        "conftest.py",
        "def pytest_kubecluster_spec(config, spec):\n"
        "    broken = spec.version.minor in (7, 9)\n"
        "    return spec.with_flags({'address': '192.0.2.1'}) if broken else spec\n",
    )
    status, output = command(bench, "matrix", "1.7.5", "1.8.7", "1.9.8", *ONE_NODE)
    assert status == 1, output
    assert "1.7.5: master01: the kubelet" in output
    assert "1.9.8: master01: the kubelet" in output
    assert "1 of 3 versions pass" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1.6.0"], "1.6.0 is outside the range of known kubelets, 1.7 to 1.36"),
        (["1.7.5", "newest"], "invalid kubelet version 'newest'"),
        (["1.30.0-rc.1"], "'1.30.0-rc.1' is a pre-release"),
        (["1.7.5", "1.8.7", "--kube-kubelet=/nowhere/{version}"], "there is no kubelet 1.7.5 at /nowhere"),
        (["1.7.5", "--html=no/such/folder.html"], "no/such/folder.html cannot be written"),
        (["1.7.5", "--kube-masters=0"], "at least one master"),
    ],
)  # fmt: skip
def test_wrong_words_boot_nothing(words: list[str], message: str, bench: Bench) -> None:
    status, output = command(bench, "matrix", *words)
    assert status == 2, output
    assert message in output
    assert "kubecluster: boot" not in output
    assert not bench.state.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_matrix_leaves_nothing(number: signal.Signals, bench: Bench) -> None:
    argv = [sys.executable, "-u", "-m", "pytest_kubecluster", "matrix", "all", *ONE_NODE]
    process = subprocess.Popen(
        argv,
        cwd=bench.project,
        env=bench.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    read_until(process, "v1.8.0")
    assert docker("ps", "--quiet", "--filter", f"name={bench.project.name}")
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 1, rest
    assert "kubecluster: interrupted" in rest
    assert bench.left() == NOTHING
