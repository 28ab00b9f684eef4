from __future__ import annotations

import pytest

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.explanation import explain_setting
from pytest_kubecluster.spec.kinds import SettingError, kinds
from pytest_kubecluster.spec.version import KubeVersion


def rows(version: str, name: str) -> dict[str, str]:
    _, *lines = explain_setting(KubeVersion.parse(version), name)
    pairs = (line.strip().partition(":") for line in lines)
    return {title: text.strip() for title, _, text in pairs}


def test_setting_of_a_file_and_a_flag() -> None:
    assert rows("1.30.0", "read-only-port") == rows("1.30.0", "readOnlyPort")
    found = rows("1.30.0", "readOnlyPort")
    assert found["default"] == "0; without a configuration file 10255"
    assert found["values"] == "0 to 65535"
    assert found["flag"] == "--read-only-port, deprecated"


def test_setting_of_the_file_alone() -> None:
    found = rows("1.30.0", "memorySwap.swapBehavior")
    assert found["flag"] == "none: only a configuration file can set it"
    assert found["configuration field"] == "memorySwap.swapBehavior, since 1.22"
    assert found["default"] == '""'


def test_setting_of_the_command_line_alone() -> None:
    assert rows("1.7.5", "cadvisor-port")["flag"] == "--cadvisor-port, removed in 1.12"
    assert "configuration field" not in rows("1.7.5", "cadvisor-port")
    assert "configuration field" not in rows("1.30.0", "node-ip")


def test_objects() -> None:
    text = "an object of endpoint (string), samplingRatePerMillion (int32)"
    assert rows("1.36.0", "tracing")["type"] == text
    assert rows("1.36.0", "shutdownGracePeriodByPodPriority")["type"].startswith(
        "a list of objects"
    )


def test_feature_gate() -> None:
    lines = list(explain_setting(KubeVersion.parse("1.30.0"), "NodeSwap"))
    assert lines[0] == "feature gate NodeSwap: beta, on by default"
    assert lines[1].split(maxsplit=3) == ["1.22", "to", "1.27:", "alpha, off by default"]
    assert lines == list(explain_setting(KubeVersion.parse("1.30.0"), "featureGates.NodeSwap"))
    (first, *_) = explain_setting(KubeVersion.parse("1.10.0"), "NodeSwap")
    assert first == "feature gate NodeSwap: kubelet 1.10.0 does not have it"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("authentication", "has fields of its own: authentication."),
        ("maxPodss", "did you mean maxPods?"),
        ("max-podss", "did you mean --max-pods?"),
        ("userNamespaces", "it was added in 1.33"),
        ("allow-privileged", "it was removed in 1.15"),
    ],
)
def test_what_the_version_does_not_have(name: str, words: str) -> None:
    with pytest.raises(SettingError) as raised:
        list(explain_setting(KubeVersion.parse("1.30.0"), name))
    assert words in str(raised.value)


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_every_setting_can_be_explained(minor: str) -> None:
    for name in kinds(minor):
        found = rows(minor, name)
        assert found["type"]
        assert found["default"]
