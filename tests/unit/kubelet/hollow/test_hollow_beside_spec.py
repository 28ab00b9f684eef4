"""A spec accepts what the hollow kubelet accepts, and refuses what it refuses.

They share the facts of the catalogue, and no code.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import yaml
from hollow_common.errors import Failure

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.kinds import SettingError
from pytest_kubecluster.spec.refusals import refusals
from pytest_kubecluster.spec.settings import effective_settings, parse_setting
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.kubelet.hollow.support import HEAD, Loaded

VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    "duration": ["0s", "-1s", "100ms", "1h"],
    "float64": [0, 0.5, 1.5, -1],
    **{kind: [0, 1, -1, 101, 65536] for kind in ("int32", "int64", "uint32")},
}
ELSEWHERE = {"port", "runOnce", "singleProcessOOMKill", "syncFrequency"}
"""What is about this machine, or is refused later in the start by some version."""


@pytest.mark.parametrize("number", [13, 22, 36])
def test_the_same_values_are_refused(load: Callable[..., Loaded], number: int) -> None:
    version = KubeVersion(1, number, 0)
    start: dict[str, Any] = {**yaml.safe_load(HEAD), "failSwapOn": False}
    if number >= 35:
        start["failCgroupV1"] = False
    for path, field in catalog.fields(f"1.{number}").items():
        for value in VALUES.get(field.type, ()) if path not in ELSEWHERE else ():
            *parents, last = path.split(".")
            document: dict[str, Any] = {last: value}
            for name in reversed(parents):
                document = {name: document}
            document = {**start, **document}
            try:
                parse_setting(version, path, value)
                settings = effective_settings(version, {}, document)
                refused = [why for why, _ in refusals(version, settings, complete=True)]
            except SettingError as error:
                refused = [str(error)]
            with pytest.raises(Failure) if refused else nullcontext():
                load(number, yaml.safe_dump(document))
