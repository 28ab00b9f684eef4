"""Call the implementations of pytest_kubecluster_spec one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest

from pytest_kubecluster.spec.model import ClusterSpec, SpecError

_NAME = "pytest_kubecluster_spec"


def hook_steps(config: pytest.Config, spec: ClusterSpec) -> Iterator[tuple[str, ClusterSpec]]:
    """Yield the spec as each implementation of the hook leaves it, the nearest conftest.py last.

    Each implementation gets what the one before it returned. Raises pytest.UsageError for an
    implementation that raises or returns anything but a spec or None.
    """
    implementations = config.hook.pytest_kubecluster_spec.get_hookimpls()
    ordered = sorted(implementations, key=lambda impl: (not impl.tryfirst, impl.trylast))
    plugins = list(dict.fromkeys(impl.plugin for impl in ordered))
    for plugin in plugins:
        others = [other for other in plugins if other is not plugin]
        call = config.pluginmanager.subset_hook_caller(_NAME, others)
        where = getattr(plugin, "__file__", None) or repr(plugin)
        try:
            results = call(config=config, spec=spec)
        except SpecError as error:
            raise pytest.UsageError(f"{_NAME} in {where}: {error}") from None
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            raise pytest.UsageError(
                f"{_NAME} in {where} raised {type(error).__name__}: {error}\n"
                f"  at {line.filename}:{line.lineno}: {line.line}"
            ) from None
        for result in results:
            if not isinstance(result, ClusterSpec):
                raise pytest.UsageError(
                    f"{_NAME} in {where} returned {type(result).__name__} instead of a ClusterSpec "
                    "or None"
                )
            spec = result
        yield f"{_NAME} in {where}", spec
