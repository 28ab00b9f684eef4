"""What a given kubelet gets beside itself: its place on the nodes, and the runtime of its version.

A hollow kubelet is given here, as a file: what it is given, a real one is given.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.spec.version import KubeVersion
from tests.runs.conftest import Bench, command

TEST = """
def test_it(kube_node, kube_spec):
    assert kube_node.kubelet == kube_node.spec.kubelet
    runtime = kube_node.host.service("{runtime}")
    assert runtime.is_running and runtime.is_enabled
    assert kube_node.kubelet.command_line.launcher[-1].endswith({path!r})
"""
CONTAINERD = """
def test_containerd_has_what_the_flags_had(kube_node):
    told = kube_node.host.check_output("containerd config dump")
    assert 'conf_dir = "/etc/kubernetes/cni/net.d"' in told
    assert 'disabled_plugins = []' in told
    assert kube_node.host.run("ctr version").rc == 0
"""


def given(path: Path, version: str) -> Path:
    path.write_bytes(render_hollow(KubeVersion.parse(version)))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "runtime", "path"),
    [
        ("1.23.17", "docker", "/opt/bin/kubelet"),
        ("1.30.0", "containerd", "/opt/bin/kubelet"),
    ],
)
def test_runtime_of_a_given_kubelet(version: str, runtime: str, path: str, bench: Bench) -> None:
    file = given(bench.path / "kubelet", version)
    bench.write("test_it.py", TEST.format(runtime=runtime, path=path))
    if runtime == "containerd":
        bench.write("test_containerd.py", CONTAINERD)
    status, output = bench.run(f"--kube-hyperkube={version}", f"--kube-kubelet={file}")
    assert status == 0, output
    assert f"kubelet hollow ({file})" in output


def test_another_file_of_the_same_version_is_started(bench: Bench) -> None:
    """The unit is the same to the byte: only the executable differs."""
    file = given(bench.path / "kubelet", "1.30.0")
    options = ["--kube-hyperkube=1.30.0", f"--kube-kubelet={file}"]
    bench.write(
        "test_it.py",
        "from pathlib import Path\n"
        "def test_it(kube_node): Path('pid').write_text(kube_node.kubelet.unit['MainPID'])\n",
    )
    status, output = bench.run(*options, "--kube-keep=always")
    assert status == 0, output
    try:
        file.write_bytes(file.read_bytes() + b"\n# mended\n")
        bench.write(
            "test_it.py",
            "from pathlib import Path\n"
            "def test_it(kube_node):\n"
            "    launcher = kube_node.kubelet.command_line.launcher[-1]\n"
            "    assert kube_node.host.check_output(f'tail -1 {launcher}') == '# mended'\n"
            "    assert kube_node.kubelet.unit['MainPID'] != Path('pid').read_text()\n",
        )
        status, output = bench.run(*options, "--kube-reuse")
        assert status == 0, output
        assert "kubecluster: boot" not in output
    finally:
        command(bench, "destroy")
