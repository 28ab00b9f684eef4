from __future__ import annotations

import contextlib

import pytest
from hollow_common.errors import Failure, Fatal, Panic
from hollow_kubelet.checks import check_kubelet
from hollow_kubelet.flags import WARNINGS, FlagSet
from hollow_kubelet.node import Node
from hollow_kubelet.program import prepare
from hollow_kubelet.resources import check_resources
from hollow_kubelet.validation import check_configuration

from pytest_kubecluster.spec import catalog
from tests.unit.kubelet.hollow.support import FLAG_VALUES, NUMBERS, REFUSED_FLAGS, Play, needed


@pytest.mark.parametrize(
    ("word", "problem"), REFUSED_FLAGS, ids=[word for word, _ in REFUSED_FLAGS]
)
def test_bad_flags_are_refused(word: str, problem: str) -> None:
    with pytest.raises(Failure) as refusal:
        FlagSet().parse(["--v=2", word])
    assert str(refusal.value) == problem


def test_every_flag_of_the_facts_is_accepted() -> None:
    values = {
        "bool": "true", "version": "raw", "ip": "::1", "duration": "1h2m3.5s", "float64": "1e3",
        "[]api.Taint": "a/b=c:NoExecute", "cidrs": "1.2.3.0/24", "moduleSpec": "a=1",
        "traceLocation": "a.go:1", "mapStringString": "a=b,c", "stringSlice": 'a,"b,c"',
    }  # fmt: skip
    words = [
        f"--{name}={values.get(flag.type, '010')}" for name, flag in catalog.flags("1.7").items()
    ]
    flags = FlagSet()
    assert flags.parse(words) == []
    assert flags["streaming-connection-idle-timeout"] == 3_723_500_000_000
    assert flags["port"] == 8, "as Go, in base 8"
    assert flags["node-labels"] == {"a": "b", "c": ""}
    assert flags["cluster-dns"] == ["a", "b,c"]
    assert flags["register-with-taints"] == [
        {"key": "a/b", "value": "c", "effect": "NoExecute", "timeAdded": None}
    ]


def test_pflags_rules() -> None:
    flags = FlagSet()
    rest = flags.parse(
        ["x", "--node_ip", "1.1.1.1", "--allow-privileged", "false", "--node-ip=2.2.2.2",
         "--cluster-dns=a,b", "--cluster-dns", "c", "--node-labels=a=1", "--node-labels=b=2,a=3",
         "--register-with-taints=a=:NoSchedule", "--register-with-taints=b=:NoExecute",
         "--host-pid-sources=file", "-v", "3", "-", "--", "--nope"]
    )  # fmt: skip
    assert rest == ["x", "false", "-", "--nope"]
    assert flags["node-ip"] == "2.2.2.2"
    assert flags["allow-privileged"] is True
    assert flags["cluster-dns"] == ["a", "b", "c"]
    assert flags["node-labels"] == {"a": "3", "b": "2"}
    assert [taint["key"] for taint in flags["register-with-taints"]] == ["b"]
    assert flags["host-pid-sources"] == ["file"], "the first one given replaces the default"
    assert flags["v"] == 3


BAD = {
    "Level": "x", "bool": "maybe", "cidrs": "1", "duration": "5", "float64": "x", "int": "x",
    "int32": "1.5", "int64": "x", "ip": "1.2.3", "moduleSpec": "a", "pattern=N,...": "a",
    "quantity": "x", "reserved-memory": "x", "reservedMemory": "x", "severity": "x", "traceLocation": "x", "uint": "-1", "uint64": "-1",
    "version": "x", "[]api.Taint": "a=b:Nope", "[]v1.Taint": "a=b:Nope", "mapStringString=": "x",
    "mapStringString!": "x", "mapStringString<": "x", "mapStringBool": "x",
    "colonSeparatedMultimapStringString": "x",
}  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_takes_every_flag_of_its_minor(
    play: Play, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    play(number)
    known = catalog.flags(f"1.{number}")
    flags = FlagSet()
    assert set(flags.flags) == set(known)
    words = [f"--{name}={FLAG_VALUES[flag.kind]}" for name, flag in flags.flags.items()]
    assert flags.parse(words) == []
    assert all(flag.changed for flag in flags.flags.values())
    said = capfd.readouterr().err.splitlines()
    warnings = {name: flag.deprecated for name, flag in known.items() if flag.deprecated}
    assert said == [
        f"Flag --{name} has been deprecated, {WARNINGS.get(text, text)}"
        for name, text in warnings.items()
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_every_flag_of_other_minors(play: Play, number: int) -> None:
    play(number)
    others = set().union(*(catalog.flags(minor) for minor in catalog.MINORS))
    for name in others - set(catalog.flags(f"1.{number}")):
        with pytest.raises(Failure, match=f"^unknown flag: --{name}$"):
            FlagSet().parse([f"--{name}=1"])


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_bad_values(play: Play, number: int) -> None:
    play(number)
    flags = FlagSet()
    for name, flag in flags.flags.items():
        bad = BAD.get(flag.kind)
        if bad is None:
            continue
        written = f"--{name}={bad}"
        if number >= 10:
            letter = {"v": "-v, ", "help": "-h, "}.get(name, "")
            written = f'"{letter}--{name}" flag'
        with pytest.raises(Failure) as refusal:
            flags.parse([f"--{name}={bad}"])
        assert str(refusal.value).startswith(f'invalid argument "{bad}" for {written}: '), name


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_a_missing_value(play: Play, number: int) -> None:
    play(number)
    for name, flag in FlagSet().flags.items():
        if not flag.boolean:
            with pytest.raises(Failure, match=f"^flag needs an argument: --{name}$"):
                FlagSet().parse([f"--{name}"])


@pytest.mark.parametrize("number", NUMBERS)
def test_defaults_are_those_of_the_facts(play: Play, number: int) -> None:
    play(number)
    flags = FlagSet().flags
    for name, flag in catalog.flags(f"1.{number}").items():
        assert flag.default in (None, flags[name].default), name
    assert flags["root-dir"].value == "/var/lib/kubelet"
    assert flags["port"].value == 10250
    assert flags["read-only-port"].value == 10255
    assert flags["anonymous-auth"].value is True
    assert flags["authorization-mode"].value == "AlwaysAllow"
    assert flags["healthz-bind-address"].value == "127.0.0.1"
    if "cgroup-driver" in flags:
        assert flags["cgroup-driver"].value == "cgroupfs"


ODD = ["", "0", "-1", "1e400", "nan", "9" * 5000, "a=b", "a=", "=", "memory=1e400", "cpu=-1", "1h", "x" * 300,
       "memory.available<1e400%", "memory.available<nan%", "memory.available=1h", "a:b", "0:memory=1e99", "\x00", "é",
       "true", "::1", "/x", "a=b:NoSchedule", "0-" + "9" * 30, '"', "file,x"]  # fmt: skip


@pytest.mark.parametrize("number", [7, 20, 36])
def test_no_value_of_a_flag_ends_in_a_traceback(play: Play, number: int) -> None:
    play(number)
    for name in FlagSet().flags:
        for value in ODD:
            flags = FlagSet()
            with contextlib.suppress(Failure, Panic, Fatal):
                line = [*needed(number), f"--{name}={value}"]
                flags.parse(line)
                flags.flags.pop("config", None)
                configuration = prepare(flags, line)
                check_configuration(flags, configuration.values)
                check_resources(flags)
                check_kubelet(flags)
                Node(flags).facts.resources()
