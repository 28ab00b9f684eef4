"""Make an item of each check of the benchmarks that the nodes' kubelets are judged by."""

from __future__ import annotations

import pytest

from pytest_kubecluster.plugin.session import SESSION
from pytest_kubecluster.plugin.terminal import WAIVED
from pytest_kubecluster.spec.benchmarks import Waiver, benchmark_for, waiver_of


# Last, so that the node comes first in the name of an item.
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each check; a waiver makes it an expected failure."""
    if "cis_number" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[SESSION]
    waivers = session.settings.spec_file.waivers
    versions = [session.settings.version]
    if session.enabled or not session.settings.machines.existing:
        versions = [node.kubelet.version for node in session.spec]
    checks = {
        number: check
        for version in versions
        for number, check in benchmark_for(version).checks.items()
    }
    items = []
    for number, check in checks.items():
        waiver = waiver_of(check, waivers)
        reason = f"{WAIVED}{waiver.reason}" if waiver else ""
        marks = [pytest.mark.xfail(reason=reason, strict=False)] if waiver else []
        items.append(pytest.param(number, id=number, marks=marks))
    metafunc.parametrize("cis_number", items)


@pytest.fixture(scope="session")
def cis_waivers(pytestconfig: pytest.Config) -> tuple[Waiver, ...]:
    """The waivers of the project's kubecluster.toml."""
    return pytestconfig.stash[SESSION].settings.spec_file.waivers
