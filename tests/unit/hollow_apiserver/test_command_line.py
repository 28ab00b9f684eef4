"""The flags that the hollow API server takes are those of its version."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hollow_apiserver.options import OWN, FlagSet
from hollow_common.errors import Failure

from pytest_kubecluster.spec.programs import program_flags
from pytest_kubecluster.spec.version import NEWEST, OLDEST

VALUES = {
    "bool": "true", "cidrs": "192.0.2.0/24", "duration": "5s", "ip": "192.0.2.1",
    "mapStringBool": "", "moduleSpec": "a=1", "quantity": "1Mi", "severity": "INFO",
    "stringSlice": "a,b", "traceLocation": "a.go:1", "version": "false",
    "string": "text", "stringArray": "text", "stringToString": "a=b", "ipNet": "10.0.0.0/24",
    "mapStringString": "a=b",
}  # fmt: skip


@pytest.mark.parametrize("number", range(OLDEST, NEWEST + 1))
def test_takes_every_flag_of_its_version_and_no_other(
    number: int, minor: Callable[[int], None]
) -> None:
    minor(number)
    known = program_flags("kube-apiserver", number)
    words = [f"--{name}={VALUES.get(flag.type, '1')}" for name, flag in known.items()]
    assert FlagSet().parse(words) == []
    assert FlagSet().flags.keys() == known.keys() | OWN.keys()


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (7, "enable-bootstrap-token-auth"),
        (9, "enable-admission-plugins"),
        (24, "insecure-port"),
        (26, "logtostderr"),
        (36, "cloud-provider"),
    ],
)
def test_refuses_a_flag_of_another_version(
    number: int, name: str, minor: Callable[[int], None]
) -> None:
    minor(number)
    with pytest.raises(Failure, match=rf"^unknown flag: --{name}$"):
        FlagSet().parse([f"--{name}=0"])


def test_flags_that_a_version_lacks_have_their_defaults(minor: Callable[[int], None]) -> None:
    minor(7)
    flags = FlagSet()
    assert flags["enable-admission-plugins"] == []
    assert flags["enable-bootstrap-token-auth"] is False


def test_warns_of_a_deprecated_flag(
    minor: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    minor(23)
    FlagSet().parse(["--insecure-port=0", "--logtostderr"])
    warned = capfd.readouterr().err.splitlines()
    assert warned[0] == (
        "Flag --insecure-port has been deprecated, "
        "This flag has no effect now and will be removed in v1.24."
    )
    assert "2845-deprecate-klog-specific-flags" in warned[1]
