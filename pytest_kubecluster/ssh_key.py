"""The key that opens the nodes of one cluster, and of no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from pytest_kubecluster.files import private_folder, write_atomically


@dataclass(frozen=True)
class SshKey:
    """A login key: the private half as a file, the public half as an authorized_keys line."""

    path: Path
    public: str


def ensure_ssh_key(directory: Path) -> SshKey:
    """Return the ed25519 key in ``directory``, made now if there is no usable one."""
    path = private_folder(directory) / "id_ed25519"
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
        path.chmod(0o600)
    except (OSError, ValueError):
        key = ed25519.Ed25519PrivateKey.generate()
        content = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        write_atomically(path, content, 0o600)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return SshKey(path, f"{public.decode()} kubecluster")
