"""Feature gates: which there are, and which can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import FACTS, since
from hollow_common.go import parse_bool
from hollow_common.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping


def set_feature_gates(given: Any) -> None:
    """Check --feature-gates: feature_gate.go in k8s.io/apiserver or k8s.io/component-base."""
    enabled = {}
    for pair in filter(None, given.split(",")) if isinstance(given, str) else ():
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in FACTS["gates"]:
            raise Failure(f"unrecognized key: {name}")
        if not equals:
            raise Failure(f"missing bool value for {name}")
        try:
            enabled[name] = parse_bool(value)
        except ValueError as error:
            raise Failure(f"invalid value of {name}: {value}, err: {error}") from None
    for name, on in sorted({} if isinstance(given, str) else given.items()):
        if name not in FACTS["gates"]:
            raise Failure(f"unrecognized {'feature gate' if since(12) else 'key'}: {name}")
        stage, default, *locked = FACTS["gates"][name].split()
        if locked and on != (default == "true"):
            raise Failure(
                f"cannot set feature gate {name} to {str(on).lower()}, "
                f"feature is locked to {default}"
            )
        if since(12) and stage in ("ga", "deprecated"):
            kind = "GA" if stage == "ga" else stage
            switched = f"{name}={str(on).lower()}"
            problem = f"Setting {kind} feature gate {switched}. It will be removed in a future"
            log("W", "feature_gate.go:235", f"{problem} release.")
        enabled[name] = on
    shown = " ".join(f"{name}:{str(on).lower()}" for name, on in sorted(enabled.items()))
    text = f"&{{map[{shown}]}}" if since(10) else f"map[{shown}]"
    log("I", "feature_gate.go:144", f"feature gates: {text}", level=1 if since(12) else 0)


def is_enabled(name: str, given: Mapping[str, bool]) -> bool:
    """Return whether a gate is on where a configuration has set the ``given`` ones."""
    if name in given:
        return bool(given[name])
    stage, default, *locked = FACTS["gates"].get(name, "ga false").split()
    every = {"alpha": "AllAlpha", "beta": "AllBeta"}.get(stage, "")
    if every in given and not locked:
        return bool(given[every])
    return bool(default == "true")
