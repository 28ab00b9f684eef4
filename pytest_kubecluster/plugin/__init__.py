"""The pytest plugin: options, hooks and fixtures; with --kube-cluster it becomes active."""

from __future__ import annotations

import os
from collections.abc import Generator
from copy import copy

import pytest

from pytest_kubecluster.plugin.fixtures import (  # noqa: F401 - pytest finds them here
    kube_api,
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
from pytest_kubecluster.plugin.items import needs_cluster
from pytest_kubecluster.plugin.options import add_options, bind_bare_options
from pytest_kubecluster.plugin.session import NEED_NODE, SESSION, ClusterSession


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
    from pytest_kubecluster.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Start a session; with --kube-cluster, check the options at once and become active."""
    config.addinivalue_line(
        "markers",
        "kube_disruptive: disturbs the nodes it uses (kills, reboots); runs after all other tests",
    )
    session = config.stash.setdefault(SESSION, ClusterSession(config))
    if session.enabled and not (config.option.help or config.option.version):
        from pytest_kubecluster.plugin.active import ActivePlugin
        from pytest_kubecluster.plugin.ci import CiPlugin

        session.validate()
        active = ActivePlugin(session)
        config.pluginmanager.register(active, "kubecluster-active")
        # Its hooks are called around those of the active plugin: it tells what that one found.
        config.pluginmanager.register(CiPlugin(session, active.lifecycle), "kubecluster-ci")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """End a run that is interrupted in its summary, after the removal, without a traceback."""
    try:
        return (yield)
    except KeyboardInterrupt:
        if not session.config.stash[SESSION].enabled:
            raise
    pytest.exit("interrupted", returncode=pytest.ExitCode.INTERRUPTED)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove temporary certificates."""
    if SESSION in config.stash:
        config.stash[SESSION].close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each node of a test that uses kube_node, kube_master or kube_worker.

    Without --kube-cluster, existing machines are not asked for: such a test is one item.
    """
    session = metafunc.config.stash[SESSION]
    for name in sorted(NEED_NODE.intersection(metafunc.fixturenames)):
        if not session.enabled and session.settings.machines.existing:
            names = ["any"]
        else:
            spec = session.spec
            nodes = {"kube_master": spec.masters, "kube_worker": spec.workers}.get(name, spec.nodes)
            names = [node.name for node in nodes]
        metafunc.parametrize(name, names, ids=names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a cluster without --kube-cluster; run disruptive tests last."""
    if not config.stash[SESSION].enabled:
        skip = pytest.mark.skip(reason="needs a cluster: run with --kube-cluster")
        for item in items:
            if needs_cluster(item):
                item.add_marker(skip)
    items.sort(key=lambda item: item.get_closest_marker("kube_disruptive") is not None)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``, start no more workers than there are nodes to share, or processors."""
    # Called before pytest_configure.
    session = config.stash.setdefault(SESSION, ClusterSession(config))
    if not session.enabled or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min(os.cpu_count() or 1, len(session.spec.nodes))


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Explain ``node.kubelet == spec`` as a table, flag by flag."""
    from pytest_kubecluster.plugin.comparison import explain

    return explain(config.stash[SESSION], op, left, right)
