"""The options that made a kept cluster: a run that reuses the cluster need not repeat them."""

from __future__ import annotations

import pytest

from pytest_kubecluster.cluster.registry import find_cluster, kept_cluster
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.plugin.ini import ini_text
from pytest_kubecluster.plugin.options import REUSE, add_given_options


def take_options(config: pytest.Config) -> None:
    """Give the options that made the cluster to reuse, unless the command line has others.

    A cluster that is not there is an error later, when it is opened.
    """
    try:
        name = config.getoption(REUSE.flag)
        name = ini_text(config, REUSE) if name is None else name
        if name is None:
            return
        folder = find_cluster(name) if name else kept_cluster(config.rootpath)
    except (ValueError, KubeClusterError):
        return
    if folder is not None and (record := folder.read()):
        add_given_options(config, record.options)
