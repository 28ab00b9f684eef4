"""Compares the layout kubeadm with what real ones write, where there are any."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_kubecluster.artifacts.go_yaml import go_yaml
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.version import KubeVersion

FOLDER = os.environ.get("KUBE_REAL_KUBELETS", "")
KUBEADMS = sorted(Path(FOLDER).glob("kubeadm-v*")) if FOLDER else []


@pytest.mark.parametrize(
    "kubeadm",
    KUBEADMS
    or [pytest.param(None, marks=pytest.mark.skip("KUBE_REAL_KUBELETS has no kubeadm-vVERSION"))],
    ids=str,
)
def test_configuration_is_the_tools_own(kubeadm: Path) -> None:
    version = KubeVersion.parse(kubeadm.name.removeprefix("kubeadm-"))
    argv = [
        str(kubeadm),
        "config",
        "print",
        "init-defaults",
        "--component-configs=KubeletConfiguration",
    ]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    (theirs,) = [one for one in printed.split("---\n") if "kind: KubeletConfiguration\n" in one]
    ours = cluster_spec(version=version, layout="kubeadm")["worker01"].kubelet.configuration
    # Printed for no node: what kubeadm finds on one is left out.
    assert ours.pop("resolvConf", None) == "/run/systemd/resolve/resolv.conf"
    if "containerRuntimeEndpoint" in ours:
        ours["containerRuntimeEndpoint"] = ""
    assert go_yaml(ours).decode() == theirs
