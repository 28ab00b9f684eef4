"""Judge an observation by the checks of a CIS benchmark: pure functions of what was seen.

A check is judged as kube-bench does: by what flags and configuration files state, flags first. What
nothing states fails, unless the benchmark accepts that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.parts import File
from pytest_kubecluster.nodes.verdict.difference import Difference, Evidence, NothingToCheck
from pytest_kubecluster.nodes.verdict.service import own_drop_ins
from pytest_kubecluster.spec.benchmarks import (
    Benchmark,
    CisCheck,
    Waiver,
    benchmark_for,
    waiver_of,
)
from pytest_kubecluster.spec.flags import TRUE, FlagError
from pytest_kubecluster.spec.kinds import SettingError, canonical_name, setting_text
from pytest_kubecluster.spec.settings import DEFAULT, Setting, parse_setting, same_value
from pytest_kubecluster.spec.values import split_pairs

PASS, FAIL, WARN, NOT_APPLICABLE = "pass", "fail", "warn", "n/a"
WAIVED, WAIVER_NOT_NEEDED = "waived", "waiver not needed"


@dataclass(frozen=True)
class Finding:
    """What came of one check on a node."""

    check: CisCheck
    differences: tuple[Difference, ...] = ()
    not_applicable: str = ""
    """Why there is nothing to check."""
    waiver: Waiver | None = None

    @property
    def status(self) -> str:
        """``pass``, ``fail``, ``warn`` for a manual check, ``n/a``, or what a waiver makes of it.

        A waiver of a check that passes is ``waiver not needed``.
        """
        if self.not_applicable:
            return NOT_APPLICABLE
        if self.waiver:
            return WAIVED if self.differences else WAIVER_NOT_NEEDED
        if not self.differences:
            return PASS
        return WARN if self.check.manual else FAIL

    @property
    def remedy(self) -> str:
        """What to do about the differences."""
        files = " ".join(dict.fromkeys(one.actual_in for one in self.differences))
        return self.check.remedy.replace("{files}", files)


def findings(seen: Observation, waivers: tuple[Waiver, ...] = ()) -> list[Finding]:
    """Return what comes of each check of the benchmark that the kubelet's version is judged by."""
    return [finding(check, seen, waivers) for check in benchmark_of(seen).checks.values()]


def benchmark_of(seen: Observation) -> Benchmark:
    """Return the benchmark that an observed kubelet is judged by."""
    return benchmark_for(seen.read_as)


def finding(check: CisCheck, seen: Observation, waivers: tuple[Waiver, ...] = ()) -> Finding:
    """Return what comes of one check."""
    waiver = waiver_of(check, waivers)
    try:
        return Finding(check, tuple(_judge(check, seen)), waiver=waiver)
    except NothingToCheck as reason:
        return Finding(check, not_applicable=str(reason), waiver=waiver)


def _judge(check: CisCheck, seen: Observation) -> Iterator[Difference]:
    if check.file:
        return _judge_files(check, seen)
    if check.unit:
        return _judge_unit(check, seen)
    if check.proxy:
        return _judge_proxy(check, seen)
    return _judge_settings(check, seen)


# --- files -----------------------------------------------------------------------------------


def _judge_files(check: CisCheck, seen: Observation) -> Iterator[Difference]:
    expected = "root:root" if check.rule == "owner" else f"{check.mode:04o} or stricter"
    for path, file in _FILES[check.file](seen).items():
        if file is None:
            actual = None
        elif check.rule == "owner":
            actual = f"{file.owner}:{file.group}"
        else:
            actual = f"{file.mode:04o}"
            if not file.mode & ~check.mode:
                continue
        if actual != expected:
            name = f"{path} {check.rule}"
            yield Difference(name, expected, actual, Evidence.FILES, actual_in=path)


def _unit_files(seen: Observation) -> Mapping[str, File | None]:
    own = own_drop_ins(seen)
    found = {
        path: file
        for path, (kind, file) in seen.unit_files.items()
        if kind == "unit" or path in own
    }
    if not found:
        raise NothingToCheck("no file makes the kubelet's unit")
    return found


def _kubeconfig(seen: Observation) -> Mapping[str, File | None]:
    if seen.credentials is None or not seen.credentials.path:
        raise NothingToCheck("the kubelet has no --kubeconfig")
    return {seen.credentials.path: seen.credentials.file}


def _client_ca(seen: Observation) -> Mapping[str, File | None]:
    if not seen.client_ca.path:
        raise NothingToCheck("the kubelet has no client CA")
    return {seen.client_ca.path: seen.client_ca.file}


def _config(seen: Observation) -> Mapping[str, File | None]:
    if not seen.documents:
        raise NothingToCheck("the kubelet has no configuration file")
    return {one.path: one.file for one in seen.documents}


def _proxy_kubeconfig(seen: Observation) -> Mapping[str, File | None]:
    proxy = seen.proxy
    if proxy.contained:
        raise NothingToCheck(
            "kube-proxy runs in a container: its kubeconfig is no file of the node"
        )
    if not proxy.kubeconfig:
        raise NothingToCheck("there is no kubeconfig of kube-proxy")
    return {proxy.kubeconfig: proxy.kubeconfig_file}


_FILES: Mapping[str, Callable[[Observation], Mapping[str, File | None]]] = {
    "unit": _unit_files,
    "kubeconfig": _kubeconfig,
    "client-ca": _client_ca,
    "config": _config,
    "proxy-kubeconfig": _proxy_kubeconfig,
}


# --- settings --------------------------------------------------------------------------------


def _judge_settings(check: CisCheck, seen: Observation) -> Iterator[Difference]:
    for flag in check.settings or (check.gate,):
        name = flag if check.gate else f"--{flag}"
        expected = _expected(check)
        if seen.process is None:
            yield Difference(name, expected, "no kubelet runs", Evidence.PROCESS)
            continue
        try:
            setting = _gate(seen, flag) if check.gate else _setting(seen, flag)
        except FlagError as error:
            actual = f"its command line cannot be read: {error}"
            yield Difference(name, expected, actual, Evidence.PROCESS)
            continue
        stated = setting is not None and setting.said_in != DEFAULT
        if not stated and check.unset == "passes":
            continue
        if setting is not None and (stated or check.unset == "default"):
            if _fulfils(check, setting.value, seen, flag):
                continue
        elif check.rule == "not set":
            continue
        yield _difference(check, seen, name, setting, stated=stated)


def _difference(
    check: CisCheck, seen: Observation, name: str, setting: Setting | None, *, stated: bool
) -> Difference:
    default = "" if setting is None else _shown(seen, setting)
    if stated and setting is not None:
        return Difference(
            name, _expected(check), default, Evidence.PROCESS, actual_in=setting.said_in
        )
    unread = next((f"{one.path}: {one.problem}" for one in seen.documents if one.problem), "")
    actual = f"not set (default {default})" if default else "not set"
    if unread:
        actual = f"not known ({unread})"
    return Difference(name, _expected(check), actual, Evidence.PROCESS)


def _setting(seen: Observation, flag: str) -> Setting | None:
    try:
        return seen.effective.get(canonical_name(seen.read_as, flag))
    except SettingError:
        return None  # this version has no such setting


def _gate(seen: Observation, gate: str) -> Setting | None:
    gates = _setting(seen, "feature-gates")
    if gates is None:
        return None
    value = gates.value
    if isinstance(value, str):  # until 1.8 the flag's type is text
        value = {name: text in TRUE for name, text in split_pairs(value)}
    on = value.get(gate) if isinstance(value, Mapping) else None
    return None if on is None else Setting(gate, on, gates.said_in)


def _fulfils(check: CisCheck, value: Any, seen: Observation, flag: str) -> bool:
    if check.rule == "not set":
        return False
    if check.rule == "set":
        return value not in ("", ())
    if check.rule == "at least":
        return isinstance(value, (int, float)) and value >= check.value
    if check.rule == "among":
        known = {_suite(one) for one in check.value}
        return isinstance(value, tuple) and bool(value) and {_suite(v) for v in value} <= known
    same = value == check.value
    if check.settings:
        wanted = parse_setting(seen.read_as, flag, check.value).value
        same = same_value(seen.read_as, flag, value, wanted)
    return same if check.rule == "is" else not same


def _suite(name: Any) -> str:
    """Return a cipher suite by the name that Go has always had for it."""
    return str(name).replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")


def _shown(seen: Observation, setting: Setting) -> str:
    if isinstance(setting.value, bool):
        return str(setting.value).lower()
    return setting_text(seen.read_as, setting.name, setting.value)


def _expected(check: CisCheck) -> str:
    value = check.value
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, tuple):
        value = ", ".join(value)
    texts = {
        "is": f"{value}",
        "is not": f"not {value}",
        "at least": f"{value} or more",
        "among": f"some of {value}",
        "set": "set",
        "not set": "not set",
        "loopback": "127.0.0.1",
        "any address": "any",
    }
    return texts[check.rule] + (" or not set" if check.unset == "passes" else "")


# --- the unit, and kube-proxy ----------------------------------------------------------------


def _judge_unit(check: CisCheck, seen: Observation) -> Iterator[Difference]:
    value = seen.unit.get(check.unit, "")
    if not {"0.0.0.0/0", "::/0"} <= set(value.split()):
        actual = value or "not set"
        yield Difference(check.unit, _expected(check), actual, Evidence.SYSTEMD)


def _judge_proxy(check: CisCheck, seen: Observation) -> Iterator[Difference]:
    proxy = seen.proxy
    if not proxy.argv:
        raise NothingToCheck("no kube-proxy runs on this node")
    flag, path = check.proxy
    given = [word for word in proxy.argv if word.split("=")[0] == f"--{flag}"]
    configuration = proxy.configuration
    value, place = None, f"--{flag}"
    if given:
        at = proxy.argv.index(given[-1])
        following = proxy.argv[at + 1] if at + 1 < len(proxy.argv) else ""
        value = given[-1].partition("=")[2] if "=" in given[-1] else following
    elif configuration is not None:
        value, place = configuration.document.get(path), configuration.path
    if value and not _is_loopback(str(value)):
        expected = _expected(check)
        yield Difference(f"kube-proxy --{flag}", expected, str(value), Evidence.PROCESS, "", place)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0] if address.count(":") == 1 or "]" in address else address
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
