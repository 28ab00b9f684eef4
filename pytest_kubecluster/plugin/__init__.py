"""Declares options, hooks and fixtures; the stages do the work."""

from __future__ import annotations

import os
from collections.abc import Generator
from copy import copy
from typing import Any

import pytest
from _pytest._code.code import ExceptionRepr

from pytest_kubecluster.plugin.fixtures import (  # noqa: F401 - pytest finds them here
    SESSION,
    kube_cluster,
    kube_files,
    kube_master,
    kube_masters,
    kube_node,
    kube_nodes,
    kube_pki,
    kube_spec,
    kube_worker,
    kube_workers,
)
from pytest_kubecluster.plugin.options import add_options, bind_bare_options
from pytest_kubecluster.plugin.session import NEED_CLUSTER, NEED_NODE, WORKER_KEY, ClusterSession
from pytest_kubecluster.spec.model import KubeletSpec


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Keep an option whose value is optional from taking the path of a test for its value."""
    if bind_bare_options(args):
        options = copy(early_config.option)
        early_config.known_args_namespace = parser.parse_known_args(args, namespace=options)
    return (yield)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks."""
    from pytest_kubecluster.plugin import hookspecs as hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Start the session's account; with --kube-cluster, check the options at once."""
    config.addinivalue_line(
        "markers",
        "kube_disruptive: disturbs the nodes it uses (kills, reboots); runs after all other tests",
    )
    session = config.stash.setdefault(SESSION, ClusterSession(config))
    if session.enabled and not (config.option.help or config.option.version):
        session.validate()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what will be booted."""
    session = config.stash[SESSION]
    return session.header() if session.enabled else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item per node of tests that ask for a node, a master or a worker.

    Where these would be of somebody's own machines and no cluster is asked for, it is one in all.
    """
    session = metafunc.config.stash[SESSION]
    for name in sorted(NEED_NODE.intersection(metafunc.fixturenames)):
        if not session.enabled and session.settings.machines.existing:
            # Who asks for no cluster waits for no Vagrant, and needs none to be told so.
            names = ["any"]
        else:
            spec = session.spec
            nodes = {"kube_master": spec.masters, "kube_worker": spec.workers}.get(name, spec.nodes)
            names = [node.name for node in nodes]
        metafunc.parametrize(name, names, ids=names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where none is asked for; leave disturbances to the end.

    Under ``--dist loadgroup``, the items of a node go to one worker.
    """
    if not config.stash[SESSION].enabled:
        skip = pytest.mark.skip(reason="needs a cluster: run with --kube-cluster")
        for item in items:
            if _needs_cluster(item):
                item.add_marker(skip)
    elif spared := config.stash[SESSION].spared:
        reason = "disturbs a machine that this run did not boot (--kube-disturb lets it)"
        skip = pytest.mark.skip(reason=reason)
        for item in items:
            if _needs_cluster(item) and item.get_closest_marker("kube_disruptive"):
                named = {_parameters(item)[name] for name in NEED_NODE & _parameters(item).keys()}
                if not named or named & spared:
                    item.add_marker(skip)
    if config.pluginmanager.has_plugin("xdist"):
        for item in items:
            for name in NEED_NODE.intersection(_parameters(item)):
                item.add_marker(pytest.mark.xdist_group(_parameters(item)[name]))
    items.sort(key=lambda item: item.get_closest_marker("kube_disruptive") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Boot before workers start: the controller collects nothing, so cannot know who needs it."""
    ours = session.config.stash[SESSION]
    if ours.enabled and ours.distributes and not ours.plans_only:
        ours.boot()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Boot once it is known that a test needs the cluster."""
    ours = session.config.stash[SESSION]
    alone = ours.enabled and not ours.distributes and not ours.is_worker
    runs = not ours.plans_only and not session.testsfailed
    if alone and runs and any(_needs_cluster(item) for item in session.items):
        ours.boot()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``, start no more workers than there are nodes to share, or processors."""
    # Asked before pytest_configure.
    session = config.stash.setdefault(SESSION, ClusterSession(config))
    if not session.enabled or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min(os.cpu_count() or 1, len(session.spec.nodes))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no two workers of pytest-xdist use one node at the same time."""
    with item.config.stash[SESSION].alone_with_nodes(item):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist how to reach the nodes."""
    ours = node.config.stash[SESSION]
    if ours.cluster is not None:
        node.workerinput[WORKER_KEY] = ours.describe()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove or keep the cluster, after every fixture's teardown and before the summary."""
    session.config.stash[SESSION].finish(failed=exitstatus != 0)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cluster if the session ended in a way that calls nothing else."""
    if SESSION in config.stash:
        config.stash[SESSION].finish(failed=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the facts of the node where a test that uses it failed; JUnit has them too."""
    report = yield
    session = item.config.stash[SESSION]
    if report.failed and session.enabled and isinstance(report.longrepr, ExceptionRepr):
        for title, facts in session.explain(item):
            report.longrepr.addsection(title, facts, sep="-")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the time went."""
    session = terminalreporter.config.stash[SESSION]
    if session.phases and terminalreporter.verbosity >= 0:
        terminalreporter.section("kubecluster")
        terminalreporter.line(session.summary())


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain ``node.kubelet == spec`` as a table, flag by flag."""
    spec, other = (left, right) if isinstance(left, KubeletSpec) else (right, left)
    if op != "==" or not isinstance(spec, KubeletSpec):
        return None
    from pytest_kubecluster.nodes.kubelet import Kubelet
    from pytest_kubecluster.nodes.verdict import difference_table

    if not isinstance(other, Kubelet):
        return None
    differences = other.differences(spec)
    noun = "difference" if len(differences) == 1 else "differences"
    headline = f"the kubelet is not what its spec says: {len(differences)} {noun}"
    return [headline, *difference_table(differences)]


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _needs_cluster(item: pytest.Item) -> bool:
    return not NEED_CLUSTER.isdisjoint(getattr(item, "fixturenames", ()))
