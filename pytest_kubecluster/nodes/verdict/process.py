"""The kubelet's process: its program, its command line and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address

from pytest_kubecluster.nodes.agent.process import is_program
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.nodes.verdict.unit import UNKNOWN, exec_start
from pytest_kubecluster.spec.flags import CommandLine, FlagError, parse_argv
from pytest_kubecluster.spec.kinds import (
    SettingError,
    canonical_name,
    flag_of,
    setting_name,
    setting_text,
)
from pytest_kubecluster.spec.parts import Taint
from pytest_kubecluster.spec.settings import DEFAULT, Setting, same_value

_APART = ("node-labels", "register-with-taints", "node-ip")
"""Settings that are stated as labels, taints and addresses."""

_BY_ANOTHER = "the unit starts the kubelet through another program"


def kubelet_runs(case: Case) -> Iterator[Difference]:
    """Expect a kubelet, with a command line that its version takes."""
    seen = case.seen
    if seen.process is None:
        yield _differs("kubelet process", "running", why_not_running(seen))
        return
    try:
        extra = seen.command_line.extra
    except FlagError as error:
        yield _differs("command line", "one that the kubelet accepts", str(error))
        return
    if extra:
        yield _differs("arguments that belong to no flag", None, " ".join(extra))


def why_not_running(seen: Observation) -> str:
    """Return why no kubelet runs, with its last log lines."""
    unit = seen.unit
    name = unit.get("Id") or "the unit"
    elsewhere = "".join(f"\n  {one}" for one in kubelets_elsewhere(seen))
    if unit.get("LoadState") not in (None, "loaded"):
        return f"no: {name} is {unit['LoadState']}{elsewhere}"
    if seen.unit_processes:
        programs = ", ".join(" ".join(words) for words in seen.unit_processes)
        return f"no: {name} runs no kubelet and no hyperkube, only {programs}{elsewhere}"
    state = f"{unit.get('ActiveState')} ({unit.get('SubState')})"
    last = "".join(f"\n  {line[:200]}" for line in seen.journal[-8:])
    end = f"result {unit.get('Result')}, exit status {unit.get('ExecMainStatus')}"
    return f"no: {name} is {state}, {end}{elsewhere}; its last lines:{last}"


def kubelets_elsewhere(seen: Observation) -> Iterator[str]:
    """Yield where the node's kubelets run, and how to state that, if the unit runs none."""
    for one in seen.kubelets:
        if one.unit:
            yield f'{one.unit} runs a kubelet; to check that one: [unit] name = "{one.unit}"'
        else:
            yield f"a kubelet runs outside of all units: {' '.join(one.argv)} (pid {one.pid})"


def only_one_kubelet_runs(case: Case) -> Iterator[Difference]:
    """Expect that no other kubelet runs on the node."""
    _need_process(case)
    ours = case.seen.process.pid if case.seen.process else 0
    for one in case.seen.kubelets:
        if one.pid != ours:
            yield _differs("another kubelet", None, f"{' '.join(one.argv)} (pid {one.pid})")


def version_is_that_of_the_spec(case: Case) -> Iterator[Difference]:
    """Expect the spec's version of the process, and of its program on the disk."""
    wanted = case.stated.version
    if wanted is None:
        raise NothingToCheck("the spec states no version")
    seen = case.seen
    if seen.process is None:
        yield _differs("version", wanted.number, None, seen.version_source)
    elif seen.version is None:
        yield _differs("version", wanted.number, f"not known: {seen.version_source}")
    elif seen.version.number != wanted.number:
        yield _differs("version", wanted.number, seen.version.number, seen.version_source)
    elif seen.process.replaced:
        where = seen.process.program
        actual = f"another: {seen.process.replaced} after the kubelet was started"
        yield _differs(f"{where}", "the program that runs", actual)


def command_line_is_that_of_the_unit(case: Case) -> Iterator[Difference]:
    """Expect the flags that the unit's ExecStart gives, environment files included."""
    _need_process(case)
    process = case.seen.process
    words = exec_start(case.seen)
    if process is None or not words:
        raise NothingToCheck(_BY_ANOTHER)
    # A script may be called kubelet, too: what it starts has another path.
    own = process.is_main and words[0] in (*process.argv[:2], process.program)
    starts = [i for i, word in enumerate(words) if is_program(word) and (i or process.is_main)]
    if not (process.is_main or starts):
        raise NothingToCheck(_BY_ANOTHER)
    start = 0 if own or not starts else starts[-1]
    try:
        minor = case.seen.read_as.minor_version
        configured: CommandLine = parse_argv(words[start:], minor)
        runs = case.seen.flags
    except FlagError as error:
        if not own:
            # These may be the other program's options.
            raise NothingToCheck(_BY_ANOTHER) from None
        yield _differs("ExecStart", "flags that the kubelet accepts", str(error))
        return
    # A launcher may add flags.
    for name in dict.fromkeys([*configured.flags, *(runs if own else ())]):
        if UNKNOWN in configured.flags.get(name, ""):
            continue
        if not same_value(case.seen.read_as, name, configured.flags.get(name), runs.get(name)):
            place = case.seen.unit.get("FragmentPath", "")
            yield Difference(
                f"--{name}",
                configured.flags.get(name),
                runs.get(name),
                Evidence.PROCESS,
                f"ExecStart of {place}",
                "running process",
            )


def no_flag_is_missing(case: Case) -> Iterator[Difference]:
    """Expect every flag that is stated, and every stated setting to have some value."""
    yield from (one for one in _flag_differences(case) if one.actual is None)


def no_flag_is_extra(case: Case) -> Iterator[Difference]:
    """Expect no flags other than those of a bundled layout, and none that the spec excludes."""
    yield from (one for one in _flag_differences(case) if one.expected is None)


def every_flag_has_its_value(case: Case) -> Iterator[Difference]:
    """Expect the stated values on the command line."""
    differences = _flag_differences(case)
    yield from (one for one in differences if None not in (one.expected, one.actual))


def every_setting_has_its_value(case: Case) -> Iterator[Difference]:
    """Expect the stated values in configuration files, and nothing that the spec excludes."""
    _need_process(case)
    yield from (one for one, on_command_line in _setting_differences(case) if not on_command_line)


def _flag_differences(case: Case) -> Iterator[Difference]:
    """Yield the differences of the command line.

    A bundled layout states the command line itself. Any other states settings: those that the node
    has in a configuration file are left to the check of settings.
    """
    seen = case.seen
    if not case.stated.complete:
        _need_process(case)
        yield from (one for one, on_command_line in _setting_differences(case) if on_command_line)
        return
    wanted = case.kubelet.flags
    try:
        actual = seen.flags
    except FlagError:
        return  # the check that a kubelet runs has it
    for name in {**wanted, **actual}:
        if not same_value(seen.read_as, name, wanted.get(name), actual.get(name)):
            yield Difference(
                f"--{name}",
                wanted.get(name),
                actual.get(name),
                Evidence.PROCESS,
                case.stated.unit.path or "",
                "running process" if name in actual else "",
            )


def _setting_differences(case: Case) -> Iterator[tuple[Difference, bool]]:
    """Yield the stated settings that differ, from a flag or from a file.

    With each comes whether it is the command line's to state it.
    """
    seen, stated = case.seen, case.stated
    try:
        effective = seen.effective
    except FlagError:
        return
    for name, setting in stated.settings.items():
        found = effective.get(name) or _place_of_configuration(seen, name)
        if found is None and setting.value in ((), {}, ""):
            continue
        if not same_value(seen.read_as, name, setting.value, found.value if found else None):
            yield _setting_difference(case, name, setting, found)
    for name, place in stated.absent_settings.items():
        if (found := seen.stated(name)) is not None:
            yield _setting_difference(case, name, None, found, place)
    if stated.complete:
        known = {*stated.settings, *stated.absent_settings, *(_names(seen, _APART))}
        for name in effective:
            found = seen.stated(name)
            if found and name not in known and not found.said_in.startswith("--"):
                yield _setting_difference(case, name, None, found)


def _place_of_configuration(seen: Observation, name: str) -> Setting | None:
    """Return ``--config`` or ``--config-dir``, which point to settings but are not settings."""
    value = seen.flags.get(name) if name in ("config", "config-dir") else None
    return None if value is None else Setting(name, value, f"--{name}")


def _names(seen: Observation, flags: Iterable[str]) -> Iterator[str]:
    for flag in flags:
        with suppress(SettingError):
            yield canonical_name(seen.read_as, flag)


def _setting_difference(
    case: Case, name: str, wanted: Setting | None, found: Setting | None, place: str = ""
) -> tuple[Difference, bool]:
    seen, flag = case.seen, flag_of(case.seen.read_as, name)
    if case.stated.complete:
        on_command_line = flag is not None and flag in case.kubelet.flags
    else:
        in_file = found and found.said_in != DEFAULT and not found.said_in.startswith("--")
        on_command_line = flag is not None and not in_file
    difference = Difference(
        setting_name(seen.read_as, name),
        None if wanted is None else setting_text(seen.read_as, name, wanted.value),
        None if found is None else setting_text(seen.read_as, name, found.value),
        Evidence.PROCESS if on_command_line else Evidence.FILES,
        wanted.said_in if wanted else place,
        found.said_in if found else "",
    )
    return difference, on_command_line


def configuration_can_be_read(case: Case) -> Iterator[Difference]:
    """Expect files of ``--config`` and ``--config-dir`` that are KubeletConfigurations."""
    if not case.seen.documents:
        raise NothingToCheck("the kubelet has no --config and no --config-dir")
    for one in case.seen.documents:
        if one.problem:
            actual = None if one.file is None else one.problem
            yield Difference(one.path, "a KubeletConfiguration", actual, Evidence.FILES)
            continue
        kind = one.document.get("kind")
        if kind != "KubeletConfiguration" and not (kind is None and one.drop_in):
            yield Difference(f"{one.path} kind", "KubeletConfiguration", str(kind), Evidence.FILES)


def taints_are_those_of_the_role(case: Case) -> Iterator[Difference]:
    """Expect the stated taints, in any order.

    Where the Node object is judged, too, an operator may have set more than the flag does.
    """
    stated = case.stated.taints
    if stated is None:
        raise NothingToCheck("the spec states no taints")
    wanted, actual = {str(one) for one in stated}, _taints(case.seen)
    if not (actual <= wanted if case.leaves_more_to_the_api else actual == wanted):
        expected, found = ",".join(sorted(wanted)) or None, ",".join(sorted(actual)) or None
        yield _differs("--register-with-taints", expected, found)


def _taints(seen: Observation) -> set[str]:
    found = set()
    for text in seen.taints:
        try:
            found.add(str(Taint.parse(text)))
        except ValueError:
            found.add(text)
    return found


def labels_are_those_of_the_spec(case: Case) -> Iterator[Difference]:
    """Expect the stated labels, in any order; others may be there unless all are stated.

    Those that a kubelet may not set itself are looked for in the Node object alone. Where that is
    judged, an operator may have set others, too.
    """
    if case.stated.labels is None or not (case.stated.labels or case.stated.complete):
        raise NothingToCheck("the spec states no labels")
    for_the_api = case.kubelet.labels_for_the_api
    stated = {key: text for key, text in case.stated.labels.items() if key not in for_the_api}
    if not stated and case.kubelet.labels:
        raise NothingToCheck("from 1.16 on a kubelet may not set its role label: only the API can")
    actual = case.seen.labels
    if case.leaves_more_to_the_api:
        stated = {key: text for key, text in stated.items() if key in actual}
    names = dict.fromkeys([*stated, *(actual if case.stated.complete else ())])
    if any(stated.get(name) != actual.get(name) for name in names):
        expected, found = ({n: x[n] for n in names if n in x} for x in (stated, actual))
        yield _differs("--node-labels", _pairs(expected) or None, _pairs(found) or None)


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" if value else key for key, value in sorted(labels.items()))


def node_ip_is_on_an_interface(case: Case) -> Iterator[Difference]:
    """Expect the stated addresses, and each address of ``--node-ip`` on an interface."""
    seen, stated = case.seen, case.stated.addresses
    actual = tuple(map(str, seen.node_ips))
    if stated is not None and tuple(map(str, stated)) != actual:
        yield _differs("--node-ip", ",".join(map(str, stated)) or None, ",".join(actual) or None)
    if not actual and not stated:
        raise NothingToCheck("the kubelet has no --node-ip")
    there = {str(ip_address(one)) for one in seen.addresses}
    for text in actual:
        # 0.0.0.0 and :: choose a family, not an address.
        if text not in there and not ip_address(text).is_unspecified:
            shown = ", ".join(sorted(there))
            yield _differs(f"node-ip {text}", "on an interface", f"not among {shown}")


def hostname_is_that_of_the_node(case: Case) -> Iterator[Difference]:
    """Expect the stated name, and a client certificate for the name that is registered."""
    seen = case.seen
    wanted = case.stated.hostname
    if wanted is None and case.stated.complete:
        wanted = seen.spec.name
        if seen.hostname != wanted:
            yield _differs("host name", wanted, seen.hostname)
    if wanted is not None and seen.process and seen.registered_name != wanted.lower():
        yield _differs("registered name", wanted, seen.registered_name)


def _need_process(case: Case) -> None:
    if case.seen.process is None:
        raise NothingToCheck("no kubelet runs")


def _differs(name: str, expected: str | None, actual: str | None, place: str = "") -> Difference:
    return Difference(name, expected, actual, Evidence.PROCESS, "", place)
