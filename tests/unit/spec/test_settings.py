from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import parse_argv
from pytest_kubecluster.spec.kinds import SettingError, canonical_name, kind_of, kinds
from pytest_kubecluster.spec.settings import (
    DEFAULT,
    configuration_settings,
    effective_settings,
    parse_setting,
    same_value,
)
from pytest_kubecluster.spec.typed_values import flag_text
from pytest_kubecluster.spec.version import KubeVersion

V7, V9, V16 = (KubeVersion.parse(text) for text in ("1.7.5", "1.9.8", "1.16.0"))
V28, V30, V36 = (KubeVersion.parse(text) for text in ("1.28.0", "1.30.0", "1.36.0"))


@pytest.mark.parametrize(
    ("version", "name", "canonical"),
    [
        (V30, "max-pods", "maxPods"),
        (V30, "--max_pods", "maxPods"),
        (V30, "maxPods", "maxPods"),
        (V30, "anonymous-auth", "authentication.anonymous.enabled"),
        (V30, "node-ip", "node-ip"),
        (V30, "node-labels", "node-labels"),
        (V7, "max-pods", "max-pods"),
        (V7, "maxPods", "max-pods"),
        (V16, "register-with-taints", "register-with-taints"),
        (V30, "register-with-taints", "registerWithTaints"),
    ],
)
def test_a_setting_has_one_name(version: KubeVersion, name: str, canonical: str) -> None:
    assert canonical_name(version, name) == canonical


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_every_flag_and_field_has_a_canonical_name(minor: str) -> None:
    version = KubeVersion.parse(minor)
    for name in [*catalog.flags(minor), *kinds(minor)]:
        assert canonical_name(version, canonical_name(version, name)) == canonical_name(
            version, name
        )


@pytest.mark.parametrize(
    ("version", "name", "message"),
    [
        (V7, "fail-swap-on", r"kubelet 1\.7\.5 has no flag --fail-swap-on; it was added in 1\.8"),
        (V30, "allow-privileged", r"no flag --allow-privileged; it was removed in 1\.15"),
        (V30, "max-pod", r"has no flag --max-pod; did you mean --max-pods\?"),
        (V30, "xyz", r"has no flag --xyz, nor has any from 1\.7 to 1\.36"),
        (V30, "clusterDns", r"no configuration field clusterDns; did you mean clusterDNS\?"),
        (V28, "podLogsDir", r"no configuration field podLogsDir; it was added in 1\.30"),
    ],
)
def test_an_unknown_setting_is_named_with_its_history(
    version: KubeVersion, name: str, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        canonical_name(version, name)


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("max-pods", "110", 110),
        ("max-pods", 110, 110),
        ("v", "4", 4),
        ("cluster-dns", "10.0.0.10,fd00::a", ("10.0.0.10", "fd00::a")),
        ("clusterDNS", ["10.0.0.10"], ("10.0.0.10",)),
        ("sync-frequency", "1m", "1m"),
        ("anonymous-auth", "F", False),
        ("anonymous-auth", True, True),
        ("eviction-hard", "memory.available<1Gi", {"memory.available": "1Gi"}),
        ("system-reserved", {"cpu": 1}, {"cpu": "1"}),
        ("feature-gates", "NodeSwap=True", {"NodeSwap": True}),
        ("register-with-taints", "a=b:NoSchedule,c:NoExecute", ("a=b:NoSchedule", "c=:NoExecute")),
        (
            "registerWithTaints",
            [{"key": "a", "effect": "NoSchedule"}],
            ("a=:NoSchedule",),
        ),
        (
            "reserved-memory",
            "0:memory=1Gi",
            ({"numaNode": 0, "limits": {"memory": "1Gi"}},),
        ),
        ("logging.flushFrequency", 5_000_000_000, "5000000000ns"),
    ],
)
def test_a_value_is_typed(name: str, value: object, typed: object) -> None:
    assert parse_setting(V30, name, value, "here").value == typed


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max-pods", "abc", r"max-pods: invalid value 'abc' \(must be a number from 0 to 2147"),
        ("max-pods", -1, "max-pods: invalid value -1"),
        ("max-pods", True, "max-pods: invalid value True"),
        ("max-pods", 1.5, "max-pods: invalid value 1.5"),
        pytest.param("max-pods", 10**5000, "invalid value of thousands of digits", id="huge"),
        ("max-pods", "9" * 5000, "max-pods: invalid value '999"),
        ("oom-score-adj", 1001, "number from -1000 to 1000"),
        ("anonymous-auth", "yes", r"anonymous-auth: invalid value 'yes' \(must be true or false\)"),
        ("sync-frequency", 10, "must be a duration such as '10s'"),
        ("sync-frequency", "10", "must be a duration"),
        ("cluster-dns", ["ten"], "cluster-dns: invalid IP address 'ten'"),
        ("node-ip", "10.0.0.300", "node-ip: invalid IP address '10.0.0.300'"),
        ("authorization.mode", "RBAC", "invalid choice 'RBAC' .choose from AlwaysAllow, Webhook"),
        ("feature-gates", {"NodeSwop": True}, "no feature gate NodeSwop; did you mean NodeSwap"),
        ("register-with-taints", ["a"], "invalid taint 'a'"),
        ("clusterDNS", 3, "must be a list"),
        ("evictionHard", 3, "must be a table"),
        ("clusterDomain", ["a"], "must be text"),
    ],
)
def test_invalid_value_is_refused_with_the_accepted_ones(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        parse_setting(V30, name, value)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("sync-frequency", "60s", "1m0s"),
        ("sync-frequency", "10s", "10000ms"),
        ("sync-frequency", "10s", "0h0m10s"),
        ("streaming-connection-idle-timeout", "240m", "4h0m0s"),
        ("system-reserved", "cpu=500m,memory=1Gi", {"memory": "1024Mi", "cpu": "0.5"}),
        ("eviction-hard", "memory.available<100Mi,nodefs.available<10%", {
            "nodefs.available": "10.0%", "memory.available": "104857600",
        }),
        ("eviction-soft-grace-period", "memory.available=90s", {"memory.available": "1m30s"}),
        ("feature-gates", "NodeSwap=True", "NodeSwap=1"),
        ("feature-gates", "NodeSwap=false", "NodeSwap=false,KubeletInUserNamespace=false"),
        ("anonymous-auth", "f", False),
        ("max-pods", "0x10", 16),
        ("node-labels", "a=b,c=", "c,a=b"),
        ("register-with-taints", "a:NoSchedule,b=c:NoExecute", "b=c:NoExecute,a=:NoSchedule"),
        ("register-with-taints", "a=:NoSchedule", [{"key": "a", "effect": "NoSchedule"}]),
        ("node-ip", "10.0.0.1,fd00:0:0::1", "10.0.0.1,fd00::1"),
        ("cluster-dns", "fd00:0::a", ("fd00::a",)),
        ("tls-cipher-suites", "A,B", ["B", "A"]),
        ("enforce-node-allocatable", "pods,system-reserved", "system-reserved,pods"),
        ("reserved-cpus", "0-2,4", "4,0,1,2"),
        ("container-log-max-size", "10Mi", "10240Ki"),
        ("container-runtime-endpoint", "/run/c.sock", "unix:///run/c.sock"),
        ("reserved-memory", "0:memory=1Gi;1:memory=2Gi",
            [{"numaNode": 1, "limits": {"memory": "2048Mi"}},
             {"numaNode": 0, "limits": {"memory": "1024Mi"}}]),
    ],
)  # fmt: skip
def test_the_same_value_in_other_words(name: str, one: object, other: object) -> None:
    assert same_value(V30, name, one, other)
    assert same_value(V30, name, other, one)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("sync-frequency", "60s", "61s"),
        ("cluster-dns", "10.0.0.1,10.0.0.2", "10.0.0.2,10.0.0.1"),
        ("node-ip", "10.0.0.1,fd00::1", "fd00::1,10.0.0.1"),
        ("system-reserved", "cpu=1", "cpu=1m"),
        ("feature-gates", "NodeSwap=true", "NodeSwap=false"),
        ("eviction-hard", "memory.available<10%", "memory.available<10"),
        ("cloud-provider", "", None),
        ("register-with-taints", "a:NoSchedule", "a:NoExecute"),
        ("cluster-domain", "a", "A"),
    ],
)
def test_different_values_differ(name: str, one: object, other: object) -> None:
    assert not same_value(V30, name, one, other)


def test_values_of_unknown_settings_are_compared_as_they_are() -> None:
    assert same_value(V30, "of-tomorrow", "60s", "60s")
    assert not same_value(V30, "of-tomorrow", "60s", "1m")


@given(st.integers(0, 10**6), st.sampled_from(catalog.MINORS))
def test_a_duration_is_the_same_in_seconds_and_milliseconds(seconds: int, minor: str) -> None:
    version = KubeVersion.parse(minor)
    assert same_value(version, "sync-frequency", f"{seconds}s", f"{seconds * 1000}ms")
    assert not same_value(version, "sync-frequency", f"{seconds}s", f"{seconds * 1000 + 1}ms")


def effective(version: KubeVersion, *given: Any, **more: Any) -> dict[str, tuple[object, str]]:
    settings = effective_settings(version, *given, **more)
    return {name: (one.value, one.said_in) for name, one in settings.items()}


def test_flags_win_over_drop_ins_over_the_file_over_the_defaults() -> None:
    settings = effective(
        V30,
        {"max-pods": "50"},
        {"maxPods": 60, "podsPerCore": 2, "clusterDomain": "file", "clusterDNS": ["10.0.0.1"]},
        [
            ("/etc/kubelet.d/20-b.conf", {"clusterDomain": "second", "maxPods": 80}),
            ("/etc/kubelet.d/10-a.conf", {"clusterDomain": "first", "clusterDNS": ["10.0.0.2"]}),
            ("/etc/kubelet.d/30-c.yaml", {"clusterDomain": "ignored"}),
        ],
        configuration_path="/etc/kubelet.yaml",
    )
    assert settings["maxPods"] == (50, "--max-pods")
    assert settings["clusterDomain"] == ("second", "/etc/kubelet.d/20-b.conf")
    assert settings["clusterDNS"] == (("10.0.0.2",), "/etc/kubelet.d/10-a.conf")
    assert settings["podsPerCore"] == (2, "/etc/kubelet.yaml")
    assert settings["syncFrequency"] == ("1m0s", DEFAULT)


def test_maps_of_drop_ins_are_merged_and_null_takes_away() -> None:
    settings = effective(
        V30,
        {},
        {"evictionHard": {"memory.available": "1Gi", "nodefs.available": "10%"}, "podsPerCore": 3},
        [("/d/1.conf", {"evictionHard": {"memory.available": "2Gi"}, "podsPerCore": None})],
        configuration_path="/c",
    )
    merged = {"memory.available": "2Gi", "nodefs.available": "10%"}
    assert settings["evictionHard"] == (merged, "/c, /d/1.conf")
    assert settings["podsPerCore"] == (0, DEFAULT)


def test_feature_gates_of_file_and_flag_are_joined() -> None:
    settings = effective(
        V30,
        {"feature-gates": "NodeSwap=false"},
        {"featureGates": {"NodeSwap": True, "Other": True}},
    )
    gates, places = settings["featureGates"]
    assert gates == {"NodeSwap": False, "Other": True}
    assert places == "--config, --feature-gates"


def test_drop_ins_are_read_from_1_28_on() -> None:
    drop_in = [("/d/1.conf", {"maxPods": 5})]
    old = KubeVersion.parse("1.27.0")
    assert effective(old, {}, {}, drop_in)["maxPods"] == (110, DEFAULT)
    assert effective(V28, {}, {}, drop_in)["maxPods"] == (5, "/d/1.conf")


def test_defaults_depend_on_whether_there_is_a_file() -> None:
    assert effective(V30, {}, None)["authorization.mode"] == ("AlwaysAllow", DEFAULT)
    assert effective(V30, {}, {})["authorization.mode"] == ("Webhook", DEFAULT)
    assert effective(V30, {}, None)["authentication.anonymous.enabled"] == (True, DEFAULT)
    assert effective(V7, {}, None)["anonymous-auth"] == (True, DEFAULT)
    assert effective(V7, {}, None)["max-pods"] == (110, DEFAULT)
    assert effective(V9, {}, None)["max-pods"] == (110, DEFAULT)


def test_zeros_of_a_file_are_defaults_where_they_are_not_pointers_in_go() -> None:
    # As kubeadm writes its configuration.
    document = {"syncFrequency": "0s", "maxPods": 0, "healthzPort": 0, "cgroupDriver": ""}
    settings = effective(V30, {"registry-burst": "0"}, document)
    assert settings["syncFrequency"] == ("1m0s", DEFAULT)
    assert settings["maxPods"] == (110, DEFAULT)
    assert settings["cgroupDriver"] == ("cgroupfs", DEFAULT)
    assert settings["healthzPort"] == (0, "--config")
    assert settings["registryBurst"] == (0, "--registry-burst")


def test_what_the_catalogue_does_not_know_is_kept_as_it_is() -> None:
    settings = effective(V30, {"of-tomorrow": "1"}, {"ofTomorrow": {"a": 1}, "maxPods": "many"})
    assert settings["of-tomorrow"] == ("1", "--of-tomorrow")
    assert settings["ofTomorrow"] == ({"a": 1}, "--config")
    assert settings["maxPods"] == ("many", "--config")


def test_until_1_9_no_file_is_read() -> None:
    assert effective(V9, {}, {"maxPods": 5})["max-pods"] == (110, DEFAULT)


def test_configz_of_an_old_kubelet_has_the_names_of_flags() -> None:
    found = configuration_settings(V7, {"maxPods": 5, "clusterDNS": ["10.0.0.1"]}, "/configz")
    assert {name: one.value for name, one in found.items()} == {
        "max-pods": 5,
        "cluster-dns": ("10.0.0.1",),
    }


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_every_default_is_a_value_of_its_setting(minor: str) -> None:
    version = KubeVersion.parse(minor)
    documents: tuple[dict[str, object] | None, ...] = (None, {})
    for document in documents:
        for name, setting in effective_settings(version, {}, document).items():
            assert setting.name == name
            assert same_value(version, name, setting.value, setting.value)


def nested(path: str, value: object) -> dict[str, object]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


@given(st.data())
def test_flag_states_the_same_as_the_file(data: st.DataObject) -> None:
    values: dict[str, st.SearchStrategy[object]] = {
        "maxPods": st.integers(1, 500),
        "clusterDNS": st.lists(st.ip_addresses().map(str), min_size=1, max_size=3, unique=True),
        "authentication.anonymous.enabled": st.booleans(),
        "evictionHard": st.dictionaries(
            st.sampled_from(["memory.available", "nodefs.available"]),
            st.sampled_from(["1Gi", "5%"]),
            min_size=1,
        ),
        "syncFrequency": st.sampled_from(["10s", "1m0s", "1h"]),
    }
    name = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(values[name])
    setting = parse_setting(V30, name, value)
    kind = kind_of(V30, name)
    assert kind.flag
    text = flag_text(kind, setting.value)
    assert same_value(V30, name, text, value)
    by_flag = effective_settings(V30, {kind.flag: text}, {})[name]
    by_file = effective_settings(V30, {}, nested(name, value))[name]
    assert same_value(V30, name, by_flag.value, by_file.value)


TEXTS = st.sampled_from(
    ["a", "true", "60s", "1m0s", "100Mi", "5%", "10.0.0.1", "::1", "0-3", "a b", 'a"b', "x,y"]
)
KEYS = st.sampled_from(["memory.available", "cpu", "NodeSwap", "a.example.org/b"])
SOME = TEXTS | st.booleans() | st.integers(-1, 70_000)
VALUES = st.one_of(
    SOME,
    st.lists(TEXTS, max_size=3),
    st.dictionaries(KEYS, TEXTS.filter(lambda text: "," not in text), max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["numaNode", "limits"]), SOME), max_size=2),
)


@pytest.mark.parametrize("minor", ["1.7", "1.16", "1.30", "1.36"])
@given(data=st.data())
def test_a_flag_can_say_what_a_file_says(minor: str, data: st.DataObject) -> None:
    version = KubeVersion.parse(minor)
    name = data.draw(st.sampled_from(sorted(kinds(minor))))
    try:
        setting = parse_setting(version, name, data.draw(VALUES))
    except SettingError:
        return
    kind = kind_of(version, setting.name)
    text = flag_text(kind, setting.value)
    if kind.flag and not (kind.flag == "manifest-url-header" and "x,y" in text):
        back = parse_argv(["kubelet", f"--{kind.flag}={text}"], minor).flags[kind.flag]
        assert same_value(version, name, setting.value, back)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("stderrthreshold", {"a": 1}, "must be text"),
        ("cluster-dns", "x" * 200_000, "field larger than"),
    ],
)
def test_value_of_a_flag_that_is_none_is_refused(name: str, value: Any, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        parse_setting(V16, name, value)


def test_header_with_several_values_is_written_for_each() -> None:
    headers = parse_setting(V30, "staticPodURLHeader", {"a": ["1", "2"], "b": ["3"]})
    text = flag_text(kind_of(V30, headers.name), headers.value)
    assert text == "a:1,a:2,b:3"
    assert same_value(V30, headers.name, headers.value, text)


def test_list_is_read_as_go_reads_it() -> None:
    assert parse_setting(V30, "cluster-dns", "10.0.0.1\n10.0.0.2").value == ("10.0.0.1",)
    assert parse_setting(V7, "host-pid-sources", 'a,"b,c"').value == ("a", "b,c")
