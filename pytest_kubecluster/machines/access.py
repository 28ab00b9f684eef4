"""How a node is reached, and where its Python is."""

from __future__ import annotations

from dataclasses import dataclass, field

USUAL = "/usr/bin/python3"
FOLDER = "/opt/python"
"""Where Container Linux and Flatcar, whose /usr is read-only, have room for one."""
BROUGHT = f"{FOLDER}/bin/python3"


@dataclass(frozen=True)
class Access:
    """How a node is reached, as plain values that another process can be given.

    ``files`` is the folder with the node's rendered files; ``reboot`` the command of this host that
    reboots it, or nothing where it reboots itself; ``python`` is its Python.
    """

    ssh_config: str
    files: str
    reboot: tuple[str, ...] = ()
    python: str = USUAL
    is_root: bool = False
    """Whether we log in as root."""
    sudo_password: str = field(default="", repr=False)
    """The password that sudo asks for, if it does."""
    patience: float = 1.0
    """How many times as long as in a container on this host things may take."""
    problem: str = ""
    """Why the node cannot be used, if it cannot."""

    @property
    def sudo(self) -> list[str]:
        """The words before a command that make it root's."""
        if self.is_root:
            return []
        # -k: whatever sudo remembers, it asks, and takes one line of standard input.
        return ["sudo", "-k", "-S", "-p", ""] if self.sudo_password else ["sudo", "-n"]

    def as_root(self, stdin: bytes) -> bytes:
        """Return the standard input of a command behind ``sudo``."""
        return f"{self.sudo_password}\n".encode() + stdin if self.sudo_password else stdin
