"""The errors that are meant for the user."""

from __future__ import annotations


class KubeClusterError(Exception):
    """A failure; the message states what failed, where, why, and what to do next."""


class NetworkTakenError(KubeClusterError):
    """The requested subnet is already in use; another may be free."""
