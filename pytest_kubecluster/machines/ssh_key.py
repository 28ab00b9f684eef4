"""The login key of one cluster's nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from pytest_kubecluster.util.atomic import locked, private_folder, write_atomically


@dataclass(frozen=True)
class SshKey:
    """A login key: the private half as a file, the public half as an authorized_keys line."""

    path: Path
    public: str


def ensure_ssh_key(directory: Path) -> SshKey:
    """Return the ed25519 key in ``directory``, created if there is no usable one.

    Runs that share a folder get the same key. Raises KubeClusterError if it cannot be written.
    """
    path = private_folder(directory) / "id_ed25519"
    with locked(directory / "ssh.lock"):
        key = _load(path) or _make(path)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return SshKey(path, f"{public.decode()} kubecluster")


def _load(path: Path) -> ed25519.Ed25519PrivateKey | None:
    """Return the existing key, or None if there is none that can be used."""
    try:
        path.chmod(0o600)
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ed25519.Ed25519PrivateKey) else None


def _make(path: Path) -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    write_atomically(path, content, 0o600)
    return key
