from __future__ import annotations

import pytest

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.version import KubeVersion


@pytest.mark.parametrize(
    ("text", "tag", "git"),
    [
        ("1.7.5", "v1.7.5", "v1.7.5"),
        ("v1.7.5", "v1.7.5", "v1.7.5"),
        ("1.7", "v1.7.0", "v1.7.0"),
        ("v1.7.5_coreos.1", "v1.7.5_coreos.1", "v1.7.5+coreos.1"),
        ("v1.7.5+coreos.1", "v1.7.5_coreos.1", "v1.7.5+coreos.1"),
        (" 1.10.13\n", "v1.10.13", "v1.10.13"),
        ("v1.29.3-eks-ae9a62a", "v1.29.3-eks-ae9a62a", "v1.29.3-eks-ae9a62a"),
        ("v1.30.1-gke.1329000", "v1.30.1-gke.1329000", "v1.30.1-gke.1329000"),
        ("v1.30.0+k3s1", "v1.30.0_k3s1", "v1.30.0+k3s1"),
    ],
)
def test_spellings(text: str, tag: str, git: str) -> None:
    version = KubeVersion.parse(text)
    assert (version.tag, version.git_version, str(version)) == (tag, git, tag)
    assert KubeVersion.parse(tag) == KubeVersion.parse(git) == version


@pytest.mark.parametrize("text", ["1.30.0-rc.1", "v1.7.5-beta.0", "1.36.0-alpha.2"])
def test_pre_releases_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=rf"{text}' is a pre-release.*1\.7 to 1\.36"):
        KubeVersion.parse(text)


@pytest.mark.parametrize("text", ["1.6.13", "1.37", "2.7.0", "0.7.5", "1.7000"])
def test_version_outside_the_range_is_reported_with_the_range(text: str) -> None:
    assert not KubeVersion.parse(text).known
    with pytest.raises(ValueError, match=rf"{text} is outside the range.*1\.7 to 1\.36"):
        KubeVersion.parse_known(text)


def test_range_is_that_of_the_facts() -> None:
    assert catalog.MINORS[0] == "1.7"
    assert catalog.MINORS[-1] == "1.36"
    assert all(KubeVersion.parse_known(minor).minor_version == minor for minor in catalog.MINORS)


@pytest.mark.parametrize(
    "text", ["", "1", "latest", "1.7.5-", "v1.7.5.1", "1.7.x", "-1.7", "1.7.5 or so", "1,7"]
)
def test_invalid_version(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid kubelet version .*; write it as 1\.7\.5"):
        KubeVersion.parse(text)


def test_order_is_by_number() -> None:
    texts = ["1.7.5", "1.7.12", "1.10.0", "1.9.8"]
    ordered = sorted(map(KubeVersion.parse, texts))
    assert [version.number for version in ordered] == ["1.7.5", "1.7.12", "1.9.8", "1.10.0"]
