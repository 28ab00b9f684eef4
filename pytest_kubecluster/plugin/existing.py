"""Read the inventory or the Vagrantfile of existing machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.sources import FromInventory, FromKubeconfig, FromVagrantfile
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.paths import readable_file, readable_folder

if TYPE_CHECKING:
    from pytest_kubecluster.cluster.through_api import RegisteredNodes
    from pytest_kubecluster.machines.existing.inventory import Inventory
    from pytest_kubecluster.machines.existing.vagrantfile import ExistingVagrantfile


def read_existing(settings: Settings) -> Inventory | ExistingVagrantfile | RegisteredNodes | None:
    """Return the existing machines, or None for machines to boot.

    Runs Ansible or Vagrant, or asks an API server. Raises pytest.UsageError.
    """
    source = settings.machines
    try:
        if isinstance(source, FromInventory):
            from pytest_kubecluster.machines.existing.inventory import read_inventory

            if not source.path.is_dir():  # Ansible accepts a folder of inventories
                readable_file(source.path)
            assert settings.ansible_folder is not None
            return read_inventory(source.path, settings.roles, settings.ansible_folder)
        if isinstance(source, FromVagrantfile):
            from pytest_kubecluster.machines.existing.vagrantfile import read_vagrantfile

            return read_vagrantfile(readable_folder(source.path), settings.roles)
        if isinstance(source, FromKubeconfig):
            from pytest_kubecluster.cluster.through_api import read_nodes

            with_versions = not settings.version_stated
            return read_nodes(
                readable_file(source.path), settings.roles, with_versions=with_versions
            )
    except KubeClusterError as error:
        raise pytest.UsageError(f"--kube-{source.name}: {error}") from None
    return None
