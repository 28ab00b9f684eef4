"""Configuration files as people and tools write them, and what each version makes of a value."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hollow_common.errors import Failure, Panic
from hollow_kubelet import choices
from hollow_kubelet.choices import HTTP2_SUITES, http2_problem
from hollow_kubelet.configuration import Configuration
from hollow_kubelet.resources import parse_evictions
from hollow_kubelet.validation import PARTS, configuration_problems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kubecluster.spec import catalog
from tests.unit.kubelet.hollow.support import (
    CERTIFICATES,
    HEAD,
    KUBEADM,
    WITH_FILES,
    Loaded,
    Play,
    Run,
)

Load = Callable[..., Loaded]


@pytest.mark.parametrize("number", WITH_FILES)
def test_file_of_kubeadm_has_the_defaults(load: Load, number: int) -> None:
    """What kubeadm writes: every zero duration means the default."""
    shown = load(number, KUBEADM).shown
    default = load(number, HEAD).shown
    for name in ("syncFrequency", "httpCheckFrequency", "nodeStatusUpdateFrequency", "logging"):
        assert shown.get(name) == default.get(name), name
    assert shown["authentication"]["webhook"]["cacheTTL"] == "2m0s"
    assert shown["clusterDNS"] == ["10.96.0.10"]


@pytest.mark.parametrize("number", WITH_FILES)
def test_every_zero_value_that_means_the_default(load: Load, number: int) -> None:
    default = load(number, HEAD).shown
    for path, field in catalog.fields(f"1.{number}").items():
        if not field.zero_is_default:
            continue
        zero: Any = {"duration": "0s", "string": ""}.get(field.type, 0)
        document: Any = zero
        for name in reversed(path.split(".")):
            document = {name: document}
        assert load(number, HEAD + yaml.safe_dump(document)).shown == default, path


@pytest.mark.parametrize("number", [10, 16, 24, 30, 36])
@pytest.mark.parametrize(
    "text",
    [
        "maxPods: 50.0", "maxPods: 5e1", "maxPods: 5_0", "maxPods: 0o62", "maxPods: 0b110010",
        "maxPods: !!int '50'", "? maxPods\n: 50", "a: &pods 50\nmaxPods: *pods", "<<: {maxPods: 50}",
        '"maxPods": 50', "maxPods: 50 # pods", "maxPods: 7\nmaxPods: 50",
    ],
)  # fmt: skip
def test_an_integer_in_all_its_forms(load: Load, number: int, text: str) -> None:
    assert load(number, HEAD + text + "\n").shown["maxPods"] == 50
    assert load(number, "\ufeff%YAML 1.1\n---\n" + HEAD + text + "\n").shown["maxPods"] == 50


@pytest.mark.parametrize("number", [10, 16, 24, 30, 36])
def test_a_list_with_nothing_in_it(load: Load, number: int) -> None:
    assert load(number, HEAD + "clusterDNS: [null]\n").shown["clusterDNS"] == [""]


@pytest.mark.parametrize("number", [23, 30, 36])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("clusterDNS: [10]", "cannot unmarshal number into Go struct field KubeletConfiguration.clusterDNS of type string"),
        ("maxPods: 3000000000", "cannot unmarshal number 3000000000 into Go struct field KubeletConfiguration.maxPods of type int32"),
        ("maxPods: 1.5", "cannot unmarshal number 1.5 into Go struct field KubeletConfiguration.maxPods of type int32"),
        ("logging: {verbosity: -1}", "cannot unmarshal number -1 into Go struct field KubeletConfiguration.logging.verbosity of type uint32"),
        ("registerWithTaints: [a=b:NoSchedule]", "cannot unmarshal string into Go struct field KubeletConfiguration.registerWithTaints of type v1beta1 struct"),
        ("syncFrequency: null", 'time: invalid duration ""'),
        ("syncFrequency: 5x", 'time: unknown unit "x" in duration "5x"'),
        ("featureGates: {AllAlpha: 1}", "cannot unmarshal number into Go struct field KubeletConfiguration.featureGates of type bool"),
        ("logging: {options: {json: {infoBufferSize: lots}}}", "quantities must match the regular expression"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type(load: Load, number: int, text: str, problem: str) -> None:
    with pytest.raises(Failure) as refusal:
        load(number, HEAD + text + "\n")
    assert problem in str(refusal.value)


def test_integers_in_json_have_no_fraction(load: Load) -> None:
    kind, version = "KubeletConfiguration", "kubelet.config.k8s.io/v1beta1"
    text = json.dumps({"kind": kind, "apiVersion": version, "maxPods": 50.0})
    with pytest.raises(Failure, match=r"cannot unmarshal number 50\.0"):
        load(36, text)


def test_flush_frequency_is_a_number_or_a_text(load: Load) -> None:
    def shown(number: int, value: object) -> Any:
        return load(number, f"{HEAD}logging: {{flushFrequency: {value}}}\n").shown["logging"]

    assert shown(24, 7000000000)["flushFrequency"] == 7000000000
    with pytest.raises(Failure, match=r"flushFrequency of type time\.Duration"):
        shown(24, "7s")
    assert shown(36, 7000000000)["flushFrequency"] == 7000000000
    assert shown(36, "7s")["flushFrequency"] == "7s"


@pytest.mark.parametrize(
    ("number", "text", "field", "value"),
    [
        (30, "nodeStatusUpdateFrequency: 20s", "nodeStatusReportFrequency", "20s"),
        (30, "maxParallelImagePulls: 4", "serializeImagePulls", False),
        (30, "maxParallelImagePulls: 1", "serializeImagePulls", True),
        (30, "podPidsLimit: -7", "podPidsLimit", -1),
        (36, "featureGates: {KubeletCrashLoopBackOffMax: true}", "crashLoopBackOff", {"maxContainerRestartPeriod": "5m0s"}),
        (36, "featureGates: {KubeletCrashLoopBackOffMax: false}", "crashLoopBackOff", {}),
    ],
)  # fmt: skip
def test_defaults_that_follow_from_other_fields(
    load: Load, number: int, text: str, field: str, value: Any
) -> None:
    assert load(number, HEAD + text + "\n").shown[field] == value


REFUSED = {
    "shutdownGracePeriod: 10s\nshutdownGracePeriodCriticalPods: 20s": "shutdownGracePeriodCriticalPods 20s must be <= shutdownGracePeriod 10s",
    "shutdownGracePeriod: 100ms": "shutdownGracePeriod 100ms must be either zero or otherwise >= 1 sec",
    "shutdownGracePeriod: 10s\nshutdownGracePeriodByPodPriority: [{priority: 1, shutdownGracePeriodSeconds: 5}]": "Cannot specify both",
    "imageGCHighThresholdPercent: 50\nimageGCLowThresholdPercent: 50": "imageGCLowThresholdPercent (--image-gc-low-threshold) 50 must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) 50",
    "imageMaximumGCAge: 1m": "imageMaximumGCAge 1m0s must be greater than imageMinimumGCAge 2m0s",
    "containerLogMaxFiles: 1": "containerLogMaxFiles must be greater than 1",
    "containerLogMaxWorkers: 0": "containerLogMaxWorkers must be greater than or equal to 1",
    "containerLogMonitorInterval: 2s": "containerLogMonitorInterval must be a positive time duration",
    "nodeLeaseDurationSeconds: -1": "nodeLeaseDurationSeconds must be greater than 0",
    "memoryThrottlingFactor: 2": "memoryThrottlingFactor 2 must be greater than 0 and less than or equal to 1.0",
    "featureGates: {CustomCPUCFSQuotaPeriod: true}\ncpuCFSQuotaPeriod: 2s": "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) 2s must be between 1ms and 1sec, inclusive",
    "nodeStatusMaxImages: -2": "nodeStatusMaxImages (--node-status-max-images) -2 must be -1 or greater",
    "tracing: {samplingRatePerMillion: -1}": "sampling rate must be positive",
    "tracing: {endpoint: 'http://a'}": "unsupported scheme: http",
    "userNamespaces: {idsPerPod: 65535}": "userNamespaces.idsPerPod must not be less than 65536",
    "userNamespaces: {idsPerPod: 65537}": "userNamespaces.idsPerPod must be a multiple of 65536",
    "topologyManagerPolicy: nope": 'topologyManagerPolicy (--topology-manager-policy) "nope" must be one of: ["none" "best-effort" "restricted" "single-numa-node"]',
    "topologyManagerScope: nope": 'topologyManagerScope (--topology-manager-scope) "nope" must be one of: "container", or "pod"',
    "logging: {format: nope}": 'logging.format: Invalid value: "nope": Unsupported log format',
    "logging: {vmodule: [{filePattern: '', verbosity: 1}]}": "logging.vmodule[0]: Required value: File pattern must not be empty",
    "memorySwap: {swapBehavior: nope}": 'memorySwap.swapBehavior "nope" must be one of: "", "LimitedSwap" or "NoSwap"',
    "registerWithTaints: [{key: '-', effect: NoSchedule}]": "invalid taint: {-  NoSchedule <nil>}",
    "reservedSystemCPUs: a-b": "unable to parse reservedSystemCPUs (--reserved-cpus) a-b",
    "reservedSystemCPUs: 0-1\nsystemReservedCgroup: /x": "can't use reservedSystemCPUs",
    "enforceNodeAllocatable: [pods, pods]": 'duplicated enforcements "pods"',
    "serverTLSBootstrap: true\nfeatureGates: {RotateKubeletServerCertificate: false}": "requires feature gate RotateKubeletServerCertificate",
    "serializeImagePulls: true\nmaxParallelImagePulls: 3": "maxParallelImagePulls cannot be larger than 1",
    "featureGates: {KubeletCrashLoopBackOffMax: false}\ncrashLoopBackOff: {maxContainerRestartPeriod: 10s}": "must not be set",
    "runOnce: true": "Runonce mode has been deprecated",
    "reservedMemory: [{numaNode: 0, limits: {memory: 0}}]": "reserved memory may not be zero for NUMA node 0",
    "podLogsDir: /var//log": 'pod logs path "/var//log" must be normalized',
    "hairpinMode: nope": 'option "nope" specified for hairpinMode (--hairpin-mode)',
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=[text.partition(":")[0] for text in REFUSED])
def test_values_that_1_36_refuses(load: Load, text: str) -> None:
    with pytest.raises(Failure) as refusal:
        load(36, f"{HEAD}{text}\n")
    assert REFUSED[text] in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tlsMinVersion: nope", 'unknown tls version "nope"'),
        ("tlsCipherSuites: [NOPE]", "Cipher suite NOPE not supported or doesn't exist"),
        ("tlsCurvePreferences: [5]", "curve preference 5 is not supported"),
        ("cpuManagerPolicy: nope", 'unknown policy: "nope"'),
        ("cpuManagerPolicy: static", "unable to determine reserved CPU resources for static policy"),
        ("cpuManagerPolicy: static\nkubeReserved: {cpu: '0'}", "the static policy requires systemreserved.cpu"),
        ("cpuManagerPolicyOptions: {full-pcpus-only: 'true'}", "new none policy error: None policy: received unsupported options=map[full-pcpus-only:true]"),
        ("reservedSystemCPUs: 0-4000", "reserved-cpus: 0-4000 is not a subset of online-cpus: 0"),
        ("kubeReserved: {cpu: '-1'}", '--kube-reserved value failed to parse: resource quantity for "cpu" cannot be negative: -1'),
        ("systemReserved: {cpu: x}", '--system-reserved value failed to parse: failed to parse quantity "x" for "cpu" resource: quantities must match'),
        ("qosReserved: {cpu: 50%}", '--qos-reserved value failed to parse: cannot reserve "cpu" resource'),
        ("qosReserved: {memory: '50'}", """failed to parse percentage "50" for "memory" resource: percentage expected, got '50'"""),
        ("tlsCertFile: /nonexist\ntlsPrivateKeyFile: /nonexist", "failed to create kubelet: failed to initialize file based certificate manager: unable to set up dynamic certificate manager for kubelet server cert files: open /nonexist: no such file or directory"),
        ("logging: {format: nope}", 'initialize logging: logging.format: Invalid value: "nope": Unsupported log format'),
        ("logging: {options: {json: {splitStream: true}}}", "initialize logging: logging.options.json.splitStream: Forbidden: Feature LoggingAlphaOptions is disabled"),
        ("logging: {options: {text: {infoBufferSize: 1Ki}}}", "initialize logging: logging.options.text.infoBufferSize: Forbidden: Feature LoggingAlphaOptions is disabled"),
        ("featureGates: {Nope: 5}", "cannot unmarshal number into Go struct field KubeletConfiguration.featureGates of type bool"),
        ("memoryManagerPolicy: nope", 'unknown policy: "nope"'),
        ("configMapAndSecretChangeDetectionStrategy: nope", "unknown configmap and secret manager mode: nope"),
        ("containerLogMaxSize: lots", 'failed to parse container log max size "lots"'),
        ("allowedUnsafeSysctls: [vm.swappiness]", 'the sysctls "vm.swappiness" are not known to be namespaced'),
        ("allowedUnsafeSysctls: ['!']", 'sysctl "!" must have at most 253 characters'),
        ("evictionHard: {memory.available: 101%}", "eviction percentage threshold memory.available must be <= 100%: 101%"),
        ("evictionHard: {nope: 1Gi}", "unsupported eviction signal nope"),
    ],
)  # fmt: skip
def test_values_that_are_refused_later_in_the_start(
    run: Run, tmp_path: Any, text: str, problem: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"{HEAD}authorization: {{mode: AlwaysAllow}}\nauthentication: {{webhook: {{enabled: false}}, anonymous: {{enabled: true}}}}\n{text}\n"
    )
    given = [] if "tlsCertFile" in text else [*CERTIFICATES]
    words = [f"--root-dir={tmp_path}", f"--cert-dir={tmp_path}", "--fail-swap-on=false"]
    ended = run(36, *given, "--fail-cgroupv1=false", *words, f"--config={path}")
    assert ended.status == 1
    assert problem in ended.problem.replace('\\"', '"')


def test_swap_that_needs_cgroup_v2(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play(36)
    values = {"memorySwap.swapBehavior": "LimitedSwap"}
    monkeypatch.setattr(choices, "has_cgroup_v2", lambda: False)
    with pytest.raises(Failure, match="it is only supported with cgroupv2"):
        choices.check_choices(values)
    choices.check_choices({**values, "featureGates": {"NodeSwap": False}})
    monkeypatch.setattr(choices, "has_cgroup_v2", lambda: True)
    choices.check_choices(values)


def test_relative_paths_start_at_the_file(load: Load, tmp_path: Any) -> None:
    names = ("staticPodPath", "resolvConf", "volumePluginDir", "podLogsDir")
    loaded = load(36, HEAD + "".join(f"{name}: some/{name}\n" for name in names))
    for name in names:
        assert loaded.shown[name] == f"{tmp_path}/some/{name}"


def test_a_flag_that_is_no_field(load: Load) -> None:
    assert load(36, HEAD, "--seccomp-default").shown["seccompDefault"] is False
    assert load(36, f"{HEAD}seccompDefault: true\n").shown["seccompDefault"] is True


def test_cipher_suites_without_one_that_http2_needs() -> None:
    suites = ["TLS_RSA_WITH_AES_128_GCM_SHA256"]
    problem = http2_problem({"tlsCipherSuites": suites})
    assert "is missing an HTTP/2-required AES_128_GCM_SHA256 cipher" in problem
    assert http2_problem({"tlsCipherSuites": suites, "tlsMinVersion": "VersionTLS13"}) == ""
    assert http2_problem({"tlsCipherSuites": [*suites, HTTP2_SUITES[0]]}) == ""
    assert http2_problem({}) == ""


@pytest.mark.parametrize("number", range(10, 37))
def test_percentages_that_are_not_thresholds(play: Play, number: int) -> None:
    play(number)
    assert parse_evictions({"nodefs.available": "0%", "imagefs.available": "100%"}) == {}
    known = parse_evictions({"pid.available": "10%"}) if number >= 14 else {}
    assert bool(known) == (number >= 14)


@pytest.mark.parametrize("number", range(8, 37))
def test_defaults_break_no_rule(play: Play, number: int) -> None:
    play(number)
    assert {rule for rule in catalog.rules(f"1.{number}") if isinstance(rule, str)} <= set(PARTS)
    values = {**Configuration().values, "failCgroupV1": False}
    assert configuration_problems(values) == []


def test_lists_without_items_are_shown_before_there_were_files(play: Play) -> None:
    play(7)
    shown = Configuration().shown()["componentconfig"]
    assert (shown["registerWithTaints"], shown["clusterDNS"]) == ([], [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["0s", "1h", "5%", "1Gi", "none", "static", "/x", "1-2"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["key", "effect", "cpu", "numaNode", "limits", "endpoint", "nodefs.available"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@pytest.mark.parametrize("number", [10, 22, 36])
@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_ends_in_a_traceback(load: Load, number: int, data: st.DataObject) -> None:
    names = sorted({path.split(".")[0] for path in catalog.fields(f"1.{number}")})
    chosen = data.draw(st.dictionaries(st.sampled_from([*names, "kind"]), VALUES, max_size=3))
    document = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        **chosen,
    }
    with contextlib.suppress(Failure, Panic):
        json.dumps(load(number, yaml.safe_dump(document)).shown)
