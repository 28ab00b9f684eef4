from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import path_for_version
from pytest_kubecluster.spec.version import KubeVersion

VERSION = KubeVersion.parse("v1.7.5_coreos.1")


@pytest.mark.parametrize("name", ["1.7.5", "v1.7.5", "v1.7.5_coreos.1", "v1.7.5+coreos.1", "1.7"])
def test_version_in_a_path_is_spelled_as_the_file_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"hyperkube-{name}"
    path.touch()
    assert path_for_version(tmp_path / "hyperkube-{version}", VERSION) == path


def test_version_may_be_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "v1.7.5" / "hyperkube"
    path.parent.mkdir()
    path.touch()
    assert path_for_version(tmp_path / "{version}" / "hyperkube", VERSION) == path


def test_plain_path_stays(tmp_path: Path) -> None:
    assert path_for_version(tmp_path / "hyperkube", VERSION) == tmp_path / "hyperkube"


def test_no_file_for_the_version(tmp_path: Path) -> None:
    (tmp_path / "1.7.51").touch()
    with pytest.raises(KubeClusterError, match=r"there is no kubelet 1\.7\.5 at .*\{version\}"):
        path_for_version(tmp_path / "{version}", VERSION)


def test_file_may_have_a_build_that_was_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "hyperkube-v1.7.5_coreos.0").touch()
    (tmp_path / "hyperkube-v1.7.5_coreos.1").touch()
    found = path_for_version(tmp_path / "hyperkube-{version}", KubeVersion.parse("1.7.5"))
    assert found.name == "hyperkube-v1.7.5_coreos.1"
