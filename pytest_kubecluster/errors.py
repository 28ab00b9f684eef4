"""The one kind of error that is meant for the person who ran pytest."""

from __future__ import annotations


class KubeClusterError(Exception):
    """Says what failed, where, why, and what to do next."""


class NetworkTakenError(KubeClusterError):
    """The cluster's network is somebody else's; another may be free."""
