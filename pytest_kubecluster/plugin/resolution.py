"""Resolve the settings, the spec file and the hook into the spec of the cluster."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

import pytest

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.kubelet.host_requirements import CGROUP_V1, SWAP, kernel_traits
from pytest_kubecluster.layouts.cluster import spec_of, with_control_plane
from pytest_kubecluster.spec.defaults import DEFAULT_NETWORK
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.spec.topology import Machine, article_machines

HOOK = "pytest_kubecluster_spec"

Step = tuple[str, ClusterSpec]
"""A source that changed the spec, and the spec as it left it."""


@dataclass(frozen=True)
class Placement:
    """Where the nodes are: existing machines, or a network for machines to boot in."""

    machines: tuple[Machine, ...] | None = None
    network: IPv4Network | None = None

    def with_addresses(self, addresses: Mapping[str, IPAddress]) -> Placement:
        """Return this placement with the addresses that only the machines know."""
        assert self.machines is not None
        machines = tuple(
            replace(machine, address=addresses.get(machine.name, machine.address))
            for machine in self.machines
        )
        return replace(self, machines=machines)


def allowed_traits(settings: Settings) -> frozenset[str]:
    """Return the features of the host that the kubelets are configured to allow.

    A hollow kubelet runs anywhere, so it allows what this host has. Of machines with another
    kernel only the user knows.
    """
    if settings.real or not settings.machines.shares_kernel:
        return settings.tolerate
    return kernel_traits()


def resolve_spec(steps: Iterator[Step]) -> ClusterSpec:
    """Return the spec after the last step. Raises pytest.UsageError for an impossible one."""
    try:
        *_, (_, spec) = steps
        spec.check()
    except SpecError as error:
        raise pytest.UsageError(f"invalid cluster: {error}") from None
    return spec


def spec_steps(
    settings: Settings,
    placement: Placement,
    allowed: frozenset[str],
    customise: Callable[[ClusterSpec], Iterator[Step]],
) -> Iterator[Step]:
    """Yield the spec after each customisation, in order of precedence. Raises SpecError."""
    machines, network = placement.machines, None
    if machines is None:
        network = placement.network or settings.network or DEFAULT_NETWORK
        machines = article_machines(settings.masters, settings.workers, network)
    spec = spec_of(
        machines,
        network,
        settings.version,
        layout=settings.layout,
        cgroup_v1=CGROUP_V1 in allowed,
        swap=SWAP in allowed,
    )
    spec = with_control_plane(spec, settings.control_plane_spec)
    yield "the article, and the options", spec
    if settings.spec_file.path:
        for table, changed in settings.spec_file.steps(spec):
            yield f"{settings.spec_file.path.name} {table}", changed
            spec = changed
    yield from customise(spec)


def hook_steps(config: pytest.Config, spec: ClusterSpec) -> Iterator[Step]:
    """Yield the spec as each implementation of the hook leaves it, the nearest conftest.py last.

    Each implementation gets what the one before it returned. Raises pytest.UsageError for an
    implementation that raises or returns anything but a spec or None.
    """
    implementations = config.hook.pytest_kubecluster_spec.get_hookimpls()
    ordered = sorted(implementations, key=lambda impl: (not impl.tryfirst, impl.trylast))
    plugins = list(dict.fromkeys(impl.plugin for impl in ordered))
    for plugin in plugins:
        others = [other for other in plugins if other is not plugin]
        call = config.pluginmanager.subset_hook_caller(HOOK, others)
        name = f"{HOOK} in {getattr(plugin, '__file__', None) or repr(plugin)}"
        try:
            results = call(config=config, spec=spec)
        except SpecError as error:
            raise pytest.UsageError(f"{name}: {error}") from None
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            raise pytest.UsageError(
                f"{name} raised {type(error).__name__}: {error}\n"
                f"  at {line.filename}:{line.lineno}: {line.line}"
            ) from None
        for result in results:
            if not isinstance(result, ClusterSpec):
                kind = type(result).__name__
                raise pytest.UsageError(f"{name} returned {kind} instead of a ClusterSpec or None")
            spec = result
        yield name, spec
