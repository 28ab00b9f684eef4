"""The Node object in the API server: what the cluster makes of the node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.spec.flags import FlagError
from pytest_kubecluster.spec.kinds import (
    SettingError,
    canonical_name,
    configz_shows,
    setting_name,
    setting_text,
)
from pytest_kubecluster.spec.parts import Taint
from pytest_kubecluster.spec.settings import configuration_settings, same_value
from pytest_kubecluster.spec.translate import configz_fields
from pytest_kubecluster.spec.typed_values import is_empty
from pytest_kubecluster.spec.version import KubeVersion

_SPEC = "the spec"
_CONTROLLERS = "node.kubernetes.io/"
"""The prefix of taints that the control plane sets and removes: not-ready, unreachable, …"""
SELF_SET = {
    "kubernetes.io/hostname": "",
    "kubernetes.io/os": "operatingSystem",
    "kubernetes.io/arch": "architecture",
    "beta.kubernetes.io/os": "operatingSystem",
    "beta.kubernetes.io/arch": "architecture",
}
"""The labels that a kubelet sets by itself, and the fields of its nodeInfo that they repeat.

From pkg/kubelet/kubelet_node_status.go (initialNode, updateDefaultLabels).
"""
_STABLE_LABELS_SINCE = 14
"""The first minor with kubernetes.io/os and kubernetes.io/arch (kubernetes#73333)."""


def node_is_registered(case: Case) -> Iterator[Difference]:
    """Expect a Node object of the node's name."""
    view = case.api
    if view.object is None:
        yield Difference(view.place, "registered", None, Evidence.API, _SPEC, view.server)


def node_has_the_labels(case: Case) -> Iterator[Difference]:
    """Expect the stated labels and those of the flag; with a bundled layout, no others.

    Those that the version sets by itself have the node's own values.
    """
    view, seen = _registered(case)
    wanted = {key: (value, "--node-labels") for key, value in _flag_labels(case).items()}
    for key, value in _stated_labels(case).items():
        flag = f"; {wanted[key][1]}={key}={wanted[key][0]}" if key in wanted else ""
        wanted[key] = (value, _SPEC + flag)
    for key, value in _own_labels(seen).items():
        wanted.setdefault(key, (value, "the kubelet itself"))
    for key, (expected, place) in wanted.items():
        if seen.labels.get(key) != expected and (key in seen.labels or key not in SELF_SET):
            actual = seen.labels.get(key)
            yield Difference(f"label {key}", expected, actual, Evidence.API, place, view.place)
    missing = [key for key in _needed(case) if key not in seen.labels]
    for key in missing:
        expected = wanted[key][0]
        yield Difference(
            f"label {key}", expected, None, Evidence.API, "the kubelet itself", view.place
        )
    if case.stated.complete:
        for key in seen.labels.keys() - wanted.keys():
            yield Difference(
                f"label {key}", None, seen.labels[key], Evidence.API, _SPEC, view.place
            )


def node_has_the_taints(case: Case) -> Iterator[Difference]:
    """Expect the stated taints and no others but the control plane's own."""
    view, seen = _registered(case)
    stated = case.stated.taints
    if stated is None:
        raise NothingToCheck("the spec states no taints")
    stated = (*stated, *case.kubelet.api_taints)
    actual = set(set_by_hand(seen.taints))
    if actual != set(stated):
        place = "; ".join(filter(None, (_SPEC, _flag_text(case, "register-with-taints"))))
        yield Difference(
            "taints", _taints(stated), _taints(actual), Evidence.API, place, view.place
        )


def node_has_its_internal_ip(case: Case) -> Iterator[Difference]:
    """Expect the stated addresses of ``--node-ip``, or the flag's, as InternalIP."""
    view, seen = _registered(case)
    wanted = [str(address) for address in case.stated.addresses or ()]
    place = _SPEC
    if not wanted:
        wanted, place = [str(address) for address in _flag_addresses(case)], "--node-ip"
    elif flag := _flag_text(case, "node-ip"):
        place = f"{_SPEC}; {flag}"
    if not wanted:
        raise NothingToCheck("neither the spec nor the kubelet states a node-ip")
    actual = seen.addresses_of("InternalIP")
    if list(actual) != wanted:
        expected = ",".join(wanted)
        yield Difference(
            "InternalIP", expected, ",".join(actual) or None, Evidence.API, place, view.place
        )


def node_has_its_hostname(case: Case) -> Iterator[Difference]:
    """Expect the name of the host, or the one that replaces it, as the address Hostname."""
    view, seen = _registered(case)
    flag = _flag_text(case, "hostname-override")
    if not (flag or case.stated.complete or case.stated.hostname):
        raise NothingToCheck("the spec states no hostname, and a cloud may give a node another")
    actual = seen.addresses_of("Hostname")
    if actual != (view.name,):
        place = flag or "the host's name"
        yield Difference(
            "Hostname", view.name, ",".join(actual) or None, Evidence.API, place, view.place
        )


def node_reports_the_version(case: Case) -> Iterator[Difference]:
    """Expect the spec's version as the version of the kubelet."""
    view, seen = _registered(case)
    wanted = case.stated.version
    if wanted is None:
        raise NothingToCheck("the spec states no version")
    actual = seen.kubelet_version
    if actual.removeprefix("v").partition("+")[0].partition("-")[0] != wanted.number:
        yield Difference(
            "kubeletVersion", wanted.number, actual or None, Evidence.API, _SPEC, view.place
        )


def node_is_ready(case: Case) -> Iterator[Difference]:
    """Expect the condition Ready to be True."""
    view, seen = _registered(case)
    condition = seen.condition("Ready")
    if condition is None or condition.status != "True":
        actual = str(condition) if condition else None
        yield Difference("Ready", "True", actual, Evidence.API, "", view.place)


def node_is_heard_from(case: Case) -> Iterator[Difference]:
    """Expect a heartbeat within the time after which a controller calls a node lost."""
    view, _ = _registered(case)
    if view.time is None:
        raise NothingToCheck("the API server does not tell its time")
    grace = monitor_grace(case.kubelet.version)
    if view.heartbeat is None:
        yield Difference("heartbeat", "a lease or a time", None, Evidence.API, "", view.place)
    elif abs(age := view.time - view.heartbeat) > grace:
        seconds = f"{age.total_seconds():.0f} s"
        actual = f"{seconds} old" if age > timedelta() else f"{seconds.lstrip('-')} ahead"
        expected = f"within {grace.total_seconds():.0f} s of the API server's clock"
        yield Difference("heartbeat", expected, actual, Evidence.API, "", view.heartbeat_in)


def configz_through_the_api_server_agrees(case: Case) -> Iterator[Difference]:
    """Expect the stated settings on /configz as the API server shows it."""
    view, _ = _registered(case)
    version = case.kubelet.version
    if not view.configz:
        expected = "the kubelet's configuration"
        actual = view.configz_problem or "nothing"
        yield Difference("/configz through the API server", expected, actual, Evidence.API)
        return
    shown = configuration_settings(version, view.configz, "/configz")
    for name, wanted, place in _stated_settings(case):
        found = shown.get(name)
        if not configz_shows(version, name) or (found is None and is_empty(wanted)):
            continue
        if found is None or not same_value(version, name, wanted, found.value):
            yield Difference(
                setting_name(version, name),
                setting_text(version, name, wanted),
                setting_text(version, name, found.value) if found else None,
                Evidence.API,
                place,
                "/configz through the API server",
            )


def set_by_hand(taints: Iterable[Taint]) -> Iterator[Taint]:
    """Yield the taints that the control plane does not set and remove by itself."""
    return (taint for taint in taints if not taint.key.startswith(_CONTROLLERS))


def monitor_grace(version: KubeVersion) -> timedelta:
    """Return the default of --node-monitor-grace-period, which is longer from 1.32 on."""
    return timedelta(seconds=40 if version.minor < 32 else 50)


def _registered(case: Case) -> tuple[ApiView, NodeObject]:
    view = case.api
    if view.object is None:
        raise NothingToCheck(f"there is no Node object {view.name}")
    return view, view.object


def _stated_labels(case: Case) -> Mapping[str, str]:
    """Return the stated labels, with those that only the API can set."""
    return {**(case.stated.labels or {}), **case.kubelet.labels_for_the_api}


def _own_labels(seen: NodeObject) -> Mapping[str, str]:
    info = (seen.document.get("status") or {}).get("nodeInfo") or {}
    own = {key: info.get(field, "") for key, field in SELF_SET.items()}
    # It is the host's name, which a cloud's node need not have.
    label = "kubernetes.io/hostname"
    hostname = seen.labels.get(label)
    known = hostname in (seen.name, *seen.addresses_of("Hostname"))
    return {**own, label: hostname if hostname and known else seen.name}


def _needed(case: Case) -> tuple[str, ...]:
    stable = case.kubelet.version.minor >= _STABLE_LABELS_SINCE
    others = ("kubernetes.io/os", "kubernetes.io/arch") if stable else ()
    return ("kubernetes.io/hostname", *others)


def _stated_settings(case: Case) -> Iterator[tuple[str, Any, str]]:
    for setting in case.stated.settings.values():
        yield setting.name, setting.value, setting.said_in
    if case.stated.complete:
        fields = configz_fields(case.kubelet.version)
        for flag in case.kubelet.shown_by_configz:
            with suppress(SettingError):
                name = canonical_name(case.kubelet.version, flag)
                if flag in fields and name not in case.stated.settings:
                    yield name, case.kubelet.settings[flag], _SPEC


def _flag_labels(case: Case) -> Mapping[str, str]:
    try:
        return dict(case.seen.labels)
    except (NothingToCheck, FlagError):
        return {}


def _flag_addresses(case: Case) -> tuple[object, ...]:
    try:
        return tuple(case.seen.node_ips)
    except (NothingToCheck, FlagError):
        return ()


def _flag_text(case: Case, flag: str) -> str:
    """Return a flag as the process has it; empty where that is not known."""
    with suppress(NothingToCheck, FlagError):
        if text := case.seen.settings.get(flag):
            return f"--{flag}={text}"
    return ""


def _taints(taints: set[Taint] | tuple[Taint, ...]) -> str | None:
    return ",".join(sorted(map(str, taints))) or None
