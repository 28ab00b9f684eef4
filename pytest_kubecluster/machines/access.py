"""How a node is reached, and which Python it has."""

from __future__ import annotations

from dataclasses import dataclass, field

USUAL = "/usr/bin/python3"
FOLDER = "/opt/python"
"""Where Container Linux and Flatcar, whose /usr is read-only, can have one."""
BROUGHT = f"{FOLDER}/bin/python3"


@dataclass(frozen=True)
class Access:
    """How a node is reached, as plain values that can be passed to another process.

    ``files`` is the folder with the node's rendered files, and ``reboot`` the command of this host
    that reboots the node; it is empty if the node has to do that itself.
    """

    ssh_config: str
    files: str
    reboot: tuple[str, ...] = ()
    python: str = USUAL
    is_root: bool = False
    """Whether the user that logs in is root."""
    sudo_password: str = field(default="", repr=False)
    """The password for sudo, if it needs one."""
    timeout_factor: float = 1.0
    """How many times as long as in a container on this host things may take (timeout factor)."""
    kubeconfig: str = ""
    """The kubeconfig on this host by which the cluster's API server is asked; empty without one."""
    own_control_plane: bool = True
    """Whether that is the control plane of the cluster, which this project made."""
    problem: str = ""
    """Why the node cannot be used, if it cannot."""

    @property
    def sudo(self) -> list[str]:
        """The arguments in front of a command that run it as root."""
        if self.is_root:
            return []
        # -k: sudo asks even if it remembers the user, and reads one line of standard input.
        return ["sudo", "-k", "-S", "-p", ""] if self.sudo_password else ["sudo", "-n"]

    def as_root(self, stdin: bytes) -> bytes:
        """Return the standard input for a command that runs with ``sudo``."""
        return f"{self.sudo_password}\n".encode() + stdin if self.sudo_password else stdin
