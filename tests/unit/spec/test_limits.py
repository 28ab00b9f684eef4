from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pytest_kubecluster.layouts.cluster import cluster_spec, spec_of
from pytest_kubecluster.spec import catalog, limits, rules
from pytest_kubecluster.spec.kinds import SettingError, kinds
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.refusals import refusals
from pytest_kubecluster.spec.settings import effective_settings, parse_setting
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

REFUSED: list[tuple[str, str, Any, str]] = [
    ("1.30.0", "maxPods", -1, "must be a number from 0 to 2147483647"),
    ("1.30.0", "max-pods", "-3", "must be a number from 0 to 2147483647"),
    ("1.9.0", "event-qps", "-1", "must be a number from 0"),
    ("1.30.0", "shutdownGracePeriod", "100ms", "invalid value 100ms (must be 0s, or 1s or more)"),
    ("1.36.0", "containerLogMaxFiles", 1, "must be more than 1"),
    ("1.30.0", "containerLogMaxWorkers", 0, "must be 1 or more"),
    ("1.30.0", "containerLogMonitorInterval", "1s", "invalid value 1s (must be 3s or more)"),
    ("1.30.0", "maxParallelImagePulls", 0, "must be 1 or more"),
    ("1.30.0", "nodeStatusMaxImages", -2, "must be -1 or more"),
    ("1.36.0", "memoryThrottlingFactor", 2.0, "must be more than 0, up to 1.0"),
    ("1.36.0", "cpuCFSQuotaPeriod", "2s", "invalid value 2s (must be 1ms to 1s)"),
    ("1.30.0", "readOnlyPort", 70000, "must be a number from 0 to 65535"),
    ("1.30.0", "oomScoreAdj", 2000, "must be a number from -1000 to 1000"),
    ("1.30.0", "topologyManagerPolicy", "best", "choose from none, best-effort, restricted"),
    ("1.30.0", "cpuManagerPolicy", "dynamic", "choose from none, static"),
    ("1.30.0", "memorySwap.swapBehavior", "X", 'choose from "", NoSwap, LimitedSwap'),
    ("1.36.0", "memoryReservationPolicy", "X", "choose from None, TieredReservation"),
    ("1.30.0", "logging.format", "xml", "choose from text, json"),
    ("1.30.0", "tlsMinVersion", "1.2", "choose from VersionTLS10, VersionTLS11"),
    ("1.30.0", "tlsCipherSuites", ["TLS_RSA"], "unknown cipher suite 'TLS_RSA'"),
    (
        "1.30.0",
        "evictionHard",
        {"memory.available": "abc"},
        "memory.available: invalid value 'abc'",
    ),
    ("1.30.0", "evictionHard", {"memory.available": "101%"}, "must be 0% to 100%"),
    ("1.30.0", "evictionHard", {"memory.availabel": "1Gi"}, "did you mean memory.available?"),
    ("1.30.0", "eviction-hard", "memory.available<1Zi", "invalid value '1Zi'"),
    ("1.30.0", "evictionSoftGracePeriod", {"memory.available": "1"}, "must be a duration"),
    ("1.30.0", "evictionMinimumReclaim", {"memory.available": "x"}, "must be a quantity"),
    ("1.30.0", "evictionMinimumReclaim", {"memory.available": "0%"}, "must be more than 0%"),
    ("1.30.0", "evictionMinimumReclaim", {"memory.available": "-1Gi"}, "must be 0 or more"),
    ("1.30.0", "qosReserved", {"memory": "50"}, "must be 0% to 100%"),
    ("1.30.0", "qosReserved", {"cpu": "50%"}, "unknown resource 'cpu'"),
    ("1.30.0", "kubeReserved", {"cpus": "1"}, "unknown resource 'cpus'; did you mean cpu?"),
    ("1.30.0", "systemReserved", {"memory": "-1Gi"}, "must be 0 or more"),
    ("1.30.0", "containerLogMaxSize", "10Q", "must be a quantity"),
    ("1.30.0", "syncFrequency", "10", "must be a duration such as '10s'"),
    ("1.30.0", "syncFrequency", 10, "must be a duration such as '10s'"),
    ("1.30.0", "featureGates", {"NodeSwapp": True}, "did you mean NodeSwap?"),
    ("1.30.0", "feature-gates", "Devices=true", "kubelet 1.30.0 has no feature gate Devices"),
    ("1.30.0", "reservedSystemCPUs", "a-b", "must be a list of CPUs"),
    ("1.30.0", "reservedSystemCPUs", "3-1", "must be a list of CPUs"),
    ("1.30.0", "allowedUnsafeSysctls", ["vm.swappiness"], "is not namespaced"),
    ("1.30.0", "allowedUnsafeSysctls", ["net..core"], "invalid sysctl"),
    ("1.30.0", "enforceNodeAllocatable", ["none", "pods"], "cannot be combined"),
    ("1.30.0", "enforceNodeAllocatable", ["pod"], "did you mean pods?"),
    ("1.30.0", "podLogsDir", "/var/../log", "must be normalized"),
    ("1.34.0", "runOnce", True, "has been deprecated"),
    ("1.36.0", "userNamespaces", {"idsPerPod": 5}, "must be a multiple of 65536"),
    ("1.36.0", "tracing", {"samplingRatePerMillion": -1}, "must be 0 to 1000000"),
    ("1.36.0", "tracing", {"endpoit": "x"}, "unknown field 'endpoit'; did you mean endpoint?"),
    (
        "1.30.0",
        "shutdownGracePeriodByPodPriority",
        [{"priority": "high"}],
        "[0].priority: invalid value 'high' (must be of type int32)",
    ),
    ("1.36.0", "tracing", {"endpoint": "http://a"}, "choose from dns, unix, unix-abstract"),
    ("1.36.0", "tlsCurvePreferences", [5], "unknown curve 5"),
    ("1.36.0", "tlsCurvePreferences", [23, 23], "must have no curve twice"),
    ("1.36.0", "logging.flushFrequency", "-1s", "must be more than 0s"),
    ("1.36.0", "enforceNodeAllocatable", ["pods", "pods"], "must have no level twice"),
    ("1.30.0", "syncFrequency", "-1s", "must be more than 0s"),
    ("1.30.0", "logging.verbosity", 2**31, "must be 0 to 2147483647"),
    ("1.30.0", "vmodule", "a", "must be such as 'kubelet*=4'"),
    ("1.30.0", "logging.vmodule", [{"filePattern": "", "verbosity": 1}], "invalid pattern"),
    ("1.30.0", "registerWithTaints", [{"key": "-", "effect": "NoExecute"}], "qualified name"),
    ("1.30.0", "registerWithTaints", [{"key": "a", "effect": "No"}], "choose from NoSchedule"),
    ("1.30.0", "register-with-taints", "a=b c:NoSchedule", "its value must be"),
    ("1.30.0", "reservedMemory", [{"numaNode": 0, "limits": {"cpu": "1"}}], "choose from memory"),
    ("1.30.0", "reserved-memory", "0:memory=0", "must not be 0"),
    ("1.36.0", "tracing", 5, "must be a table of endpoint, samplingRatePerMillion"),
    ("1.30.0", "shutdownGracePeriodByPodPriority", {"priority": 1}, "must be a list"),
    ("1.30.0", "reserved-memory", "x", "must be such as '0:memory=1Gi"),
    ("1.30.0", "reservedMemory", [5], "must be a list of numaNode and limits"),
    ("1.7.5", "feature-gates", "Nope=true", "kubelet 1.7.5 has no feature gate Nope"),
    ("1.7.5", "feature-gates", "AllAlpha=maybe", "must be true or false"),
    ("1.30.0", "showHiddenMetricsForVersion", "1.30", "choose from 1.29"),
]


@pytest.mark.parametrize(("version", "name", "value", "words"), REFUSED)
def test_value_that_the_version_refuses(version: str, name: str, value: Any, words: str) -> None:
    with pytest.raises(SettingError) as raised:
        parse_setting(KubeVersion.parse(version), name, value)
    assert words in str(raised.value)
    assert str(raised.value).startswith(name)


@pytest.mark.parametrize(
    ("version", "name", "value"),
    [
        ("1.7.5", "feature-gates", "Accelerators=true,AllAlpha=false"),
        ("1.30.0", "port", 0),
        ("1.30.0", "hairpinMode", ""),
        ("1.30.0", "cgroupDriver", ""),
        ("1.30.0", "topologyManagerPolicy", ""),
        ("1.30.0", "evictionHard", {"nodefs.available": "0%", "imagefs.available": "100%"}),
        ("1.30.0", "evictionHard", {"pid.available": "10%"}),
        ("1.36.0", "evictionHard", {"containerfs.available": "1Gi"}),
        ("1.30.0", "shutdownGracePeriod", "0s"),
        ("1.30.0", "shutdownGracePeriod", "1s"),
        ("1.30.0", "containerLogMaxFiles", 1),
        ("1.30.0", "nodeStatusMaxImages", -1),
        ("1.30.0", "tlsCipherSuites", ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]),
        ("1.30.0", "kubeReserved", {"cpu": "100m", "memory": "1Gi", "pid": "100"}),
        ("1.36.0", "userNamespaces", {"idsPerPod": 131072}),
        ("1.30.0", "reservedSystemCPUs", "0-3,7"),
        ("1.30.0", "runOnce", True),
        ("1.30.0", "podLogsDir", "log"),
        ("1.36.0", "logging.flushFrequency", "0s"),
        ("1.30.0", "registerWithTaints", [{"key": "a.b/c", "effect": "NoSchedule"}]),
        ("1.30.0", "register-with-taints", "a=:PreferNoSchedule,b=c:NoExecute"),
        ("1.30.0", "vmodule", "kubelet*=4,a=1"),
        ("1.30.0", "reserved-memory", "0:memory=1Gi,hugepages-2Mi=1Gi"),
        ("1.36.0", "tracing", {"endpoint": "localhost:4317", "samplingRatePerMillion": 10}),
        ("1.30.0", "memorySwap.swapBehavior", "LimitedSwap"),
        ("1.30.0", "allowedUnsafeSysctls", ["net.core.somaxconn", "kernel.msg*"]),
        ("1.36.0", "enforceNodeAllocatable", ["pods", "kube-reserved-compressible"]),
    ],
)
def test_value_that_the_version_accepts(version: str, name: str, value: Any) -> None:
    parse_setting(KubeVersion.parse(version), name, value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6)
    | st.sampled_from(["0s", "-1h", "5%", "1Gi", "a=b", "a<b", "0:memory=1", "1-2", "3-1", ",", "=", ":"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["key", "effect", "cpu", "numaNode", "limits", "endpoint", "memory.available"]) | st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@pytest.mark.parametrize("minor", ["1.7", "1.9", "1.16", "1.30", "1.36"])
@given(data=st.data())
@examples(max_examples=150)
def test_every_value_is_accepted_or_refused_with_a_reason(minor: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(kinds(minor))))
    value = data.draw(VALUES)
    version = KubeVersion.parse(minor)
    try:
        setting = parse_setting(version, name, value)
    except SettingError:
        return
    list(refusals(version, {setting.name: setting}, complete=False))


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_every_default_is_within_the_limits(minor: str) -> None:
    version = KubeVersion.parse(minor)
    for name, kind in kinds(minor).items():
        if kind.path and kind.default is not None:
            parse_setting(version, name, kind.default)


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_every_setting_is_described(minor: str) -> None:
    for kind in kinds(minor).values():
        assert isinstance(limits.describe(minor, kind.flag, kind.path, kind.type), str)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cpuCFSQuotaPeriod", "1ms to 1s"),
        ("cpuManagerPolicy", "none or static"),
        ("imageGCHighThresholdPercent", "0 to 100"),
        ("maxPods", "0 or more"),
        ("readOnlyPort", "0 to 65535"),
        ("shutdownGracePeriod", "0s, or 1s or more"),
        ("memorySwap.swapBehavior", '"" or NoSwap or LimitedSwap'),
        ("containerLogMonitorInterval", "3s or more"),
        ("clusterDomain", ""),
    ],
)
def test_description(name: str, text: str) -> None:
    kind = kinds("1.36")[name]
    assert limits.describe("1.36", kind.flag, kind.path, kind.type) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (10**9, "1s"), (1500 * 10**6, "1500ms"), (7200 * 10**9, "2h"), (1, "1ns")],
)
def test_durations_as_text(nanoseconds: int, text: str) -> None:
    assert rules.duration_text(nanoseconds) == text


# --- combinations ----------------------------------------------------------------------------


def with_settings(version: str, settings: dict[str, Any], *, found: bool = False) -> ClusterSpec:
    cluster = cluster_spec(1, 1, version=KubeVersion.parse(version))
    if found:
        machines = [Machine("w", "worker", NO_ADDRESS)]
        cluster = spec_of(machines, None, KubeVersion.parse(version), layout="found")
        cluster = replace(cluster, api_server_url="https://192.0.2.1")
    place = "kubecluster.toml [kubelet]"
    return replace(
        cluster,
        nodes=tuple(
            replace(node, kubelet=node.kubelet.with_settings(settings, place)) for node in cluster
        ),
    )


COMBINATIONS: list[tuple[str, dict[str, Any], str]] = [
    (
        "1.30.0",
        {"imageGCLowThresholdPercent": 90},
        "imageGCLowThresholdPercent (--image-gc-low-threshold) 90 must be less than "
        "imageGCHighThresholdPercent (--image-gc-high-threshold) 85 (set: "
        "imageGCLowThresholdPercent in kubecluster.toml [kubelet])",
    ),
    (
        "1.30.0",
        {"shutdownGracePeriod": "10s", "shutdownGracePeriodCriticalPods": "20s"},
        "shutdownGracePeriodCriticalPods 20s must be <= shutdownGracePeriod 10s",
    ),
    (
        "1.30.0",
        {"serverTLSBootstrap": True, "featureGates": {"RotateKubeletServerCertificate": False}},
        "serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate",
    ),
    ("1.30.0", {"maxParallelImagePulls": 5, "serializeImagePulls": True}, "maxParallelImagePulls cannot be larger than 1"),
    (
        "1.30.0",
        {"reservedSystemCPUs": "0", "systemReservedCgroup": "/system"},
        "can't use reservedSystemCPUs",
    ),
    ("1.30.0", {"imageMaximumGCAge": "1m"}, "imageMaximumGCAge 1m must be greater than"),
    ("1.28.0", {"memorySwap.swapBehavior": "LimitedSwap", "featureGates": {"NodeSwap": False}}, "cannot be set"),
    ("1.30.0", {"evictionSoft": {"memory.available": "1Gi"}}, "evictionSoftGracePeriod has not"),
    ("1.30.0", {"cpuManagerPolicy": "static"}, "cpuManagerPolicy static requires CPUs"),
    ("1.30.0", {"enforceNodeAllocatable": ["pods", "kube-reserved"]}, "kubeReservedCgroup must be set"),
    ("1.30.0", {"tlsCipherSuites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]}, "lacks one that HTTP/2 requires"),
    ("1.10.0", {"imageGCLowThresholdPercent": 90}, "must not be above imageGCHighThresholdPercent 85"),
    ("1.36.0", {"logging.options.json.splitStream": True}, "requires feature gate LoggingAlphaOptions"),
    ("1.36.0", {"logging.options.text.infoBufferSize": "1Mi"}, "requires feature gate LoggingAlphaOptions"),
    ("1.30.0", {"cpuManagerPolicyOptions": {"full-pcpus-only": "true"}}, "require another cpuManagerPolicy"),
    ("1.36.0", {"cgroupsPerQOS": False}, "cgroupsPerQOS must be true"),
    ("1.30.0", {"systemCgroups": "/system"}, "was specified and cgroupRoot"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "settings", "words"), COMBINATIONS)
def test_settings_that_the_version_refuses_together(
    version: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as raised:
        with_settings(version, settings).check()
    assert words in str(raised.value)
    assert "kubecluster.toml [kubelet]" in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"imageGCLowThresholdPercent": 90},
        {"maxParallelImagePulls": 5},
        {"cpuManagerPolicy": "static"},
        {"memorySwap.swapBehavior": "LimitedSwap"},
        {"evictionSoft": {"memory.available": "1Gi"}},
        {"tlsCipherSuites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]},
        {"enforceNodeAllocatable": ["pods", "kube-reserved"]},
    ],
)
def test_what_else_a_found_node_sets_is_not_known(settings: dict[str, Any]) -> None:
    with_settings(
        "1.26.0", {k: v for k, v in settings.items() if k in kinds("1.26")}, found=True
    ).check()


def test_what_a_spec_of_a_found_node_states_must_not_contradict_itself() -> None:
    settings = {"imageGCLowThresholdPercent": 90, "image-gc-high-threshold": 80}
    with pytest.raises(SpecError, match="90 must be less than"):
        with_settings("1.30.0", settings, found=True).check()


def test_serial_pulls_are_off_by_default_where_several_are_allowed() -> None:
    with_settings("1.30.0", {"maxParallelImagePulls": 5}).check()
    gates = {"LoggingAlphaOptions": True}
    with_settings(
        "1.36.0", {"logging.options.json.splitStream": True, "featureGates": gates}
    ).check()
    found = effective_settings(KubeVersion(1, 30, 0), {}, {"maxParallelImagePulls": 5})
    assert found["serializeImagePulls"].value is False
    found = effective_settings(KubeVersion(1, 30, 0), {}, {"nodeStatusUpdateFrequency": "20s"})
    assert found["nodeStatusReportFrequency"].value == "20s"


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_the_articles_kubelet_is_refused_by_no_version(minor: str) -> None:
    cluster_spec(1, 1, version=KubeVersion.parse(minor)).check()
