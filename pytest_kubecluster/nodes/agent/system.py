"""Commands, systemd and files of the node."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import stat
import subprocess
from typing import Any

UNIT_PROPERTIES = (
    "Id LoadState ActiveState SubState UnitFileState FragmentPath DropInPaths NeedDaemonReload "
    "MainPID ControlGroup NRestarts Result ExecMainStatus ExecMainCode "
    "ExecMainStartTimestampMonotonic ActiveEnterTimestampMonotonic EnvironmentFiles "
    "TriggeredBy WantedBy RequiredBy Restart RestartUSec IPAddressDeny"
)
LARGEST_FILE = 4 * 1024 * 1024
"""Larger files are not read; none of a kubelet's is as large."""

_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(-----END \1-----|\Z)", re.DOTALL
)
_SECRET_VARIABLE = re.compile(
    r"(?i)((?:[A-Z_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY)[A-Z_]*)=)"
    r"(\"[^\"]*\"|'[^']*'|[^\s\"']+)"
)
_USER_INFO = re.compile(r"(?<=://)[^\s/@:\"']+:[^\s/@\"']+(?=@)")
CUT = "(cut out)"


class Unreadable(Exception):
    """A file that cannot be read; the message is the reason."""


def output(command: list[str], seconds: float) -> dict[str, Any]:
    """Run a command and return its exit status and what it wrote; status -1 if it did not run."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"status": -1, "output": str(error)}
    return {"status": done.returncode, "output": done.stdout.decode("utf-8", "replace")}


def show(
    units: list[str], seconds: float, properties: str = UNIT_PROPERTIES
) -> list[dict[str, str]]:
    """Return systemd's account of each unit, in order.

    Raises RuntimeError where systemd does not answer.
    """
    wanted = "--property=" + ",".join(properties.split())
    done = output(["systemctl", "show", "--no-pager", wanted, *units], seconds)
    if done["status"] != 0:
        raise RuntimeError(f"systemctl show: {done['output'].strip() or 'no answer'}")
    accounts = []
    for block in done["output"].strip("\n").split("\n\n"):
        account: dict[str, str] = {}
        for name, equals, value in (line.partition("=") for line in block.splitlines()):
            if equals:
                # A list may take several lines.
                account[name] = f"{account[name]}\n{value}" if name in account else value
        accounts.append(account)
    return accounts


def paths(value: str) -> list[str]:
    """Return the paths of a property of systemd's; those with spaces are in quotes."""
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def inside(root: str, path: str) -> str:
    """Return where a path of a process with another root file system is seen from here.

    Links are followed one by one, since an absolute one would lead out of ``root``.
    """
    if root in ("", "/"):
        return path
    done, rest, links = "/", path, 0
    while rest := rest.strip("/"):
        name, _, rest = rest.partition("/")
        done = os.path.normpath(os.path.join(done, name))
        if os.path.islink(root + done) and links < 40:
            links += 1
            target = os.readlink(root + done)
            rest = os.path.join(os.path.dirname(done), target) + "/" + rest
            done = "/"
    return root + done


def read(path: str, root: str = "") -> bytes:
    """Return a regular file's content. Raises Unreadable, FileNotFoundError for a missing one."""
    here = inside(root, path)
    try:
        handle = os.open(here, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise Unreadable(f"{path} is not a regular file")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > LARGEST_FILE:
            raise Unreadable(f"{path} has {status.st_size} bytes")
        try:
            return file.read()
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None


def text(path: str) -> str:
    """Return the text of a file of /proc, or nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def describe(path: str, *, secret: bool = False, root: str = "") -> dict[str, Any] | None:
    """Return a file's owner, mode, kind and digest, and its text unless that is secret.

    None for a path that does not exist. What looks like a key or password is cut out of the text,
    and ``cut`` is true then.
    """
    seen = ownership(path, root)
    if seen is None or seen["kind"] != "file":
        return seen
    try:
        content = read(path, root)
    except (Unreadable, OSError) as error:
        return {**seen, "problem": str(error)}
    seen["sha256"] = hashlib.sha256(content).hexdigest()
    if not secret:
        shown = without_secrets(content.decode("utf-8", "replace"))
        seen["cut"] = CUT in shown
        seen["content"] = base64.b64encode(shown.encode() if seen["cut"] else content).decode()
    return seen


def without_secrets(content: str) -> str:
    """Return a unit's or environment file's text without private keys and passwords."""
    content = _PRIVATE_KEY.sub(CUT, content)
    content = _SECRET_VARIABLE.sub(rf"\1{CUT}", content)
    return without_user_info(content)


def without_user_info(text: str) -> str:
    """Return a text whose URLs name no user and password."""
    return _USER_INFO.sub(CUT, text)


def ownership(path: str, root: str = "") -> dict[str, Any] | None:
    """Return a path's owner, its mode and its kind, without opening it; None if it is missing.

    Links are followed; ``link`` is where the last name leads to, if that is one.
    """
    here = inside(root, path)
    try:
        status = os.stat(here)
    except OSError:
        return None
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory"}
    return {
        "owner": user_name(status.st_uid),
        "group": group_name(status.st_gid),
        "mode": stat.S_IMODE(status.st_mode),
        "kind": kinds.get(stat.S_IFMT(status.st_mode), "other"),
        "size": status.st_size,
        "changed": status.st_ctime,
    }


def user_name(number: int) -> str:
    """Return a user's name, or its number where it has none."""
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return "root" if number == 0 else str(number)


def group_name(number: int) -> str:
    """Return a group's name, or its number where it has none."""
    try:
        import grp

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError):
        return "root" if number == 0 else str(number)


def journal(unit: str, lines: int, seconds: float) -> list[str]:
    """Return the unit's last lines."""
    command = ["journalctl", "--unit", unit, f"--lines={lines}", "--no-pager", "--output=cat"]
    return [without_secrets(line) for line in output(command, seconds)["output"].splitlines()]


def addresses(seconds: float) -> list[str]:
    """Return the addresses of the node's interfaces, IPv4 and IPv6, without link-local ones."""
    shown = output(["ip", "-o", "addr", "show"], seconds)
    if shown["status"] == 0:
        found = re.findall(r"\binet6? (\S+?)(?:/\d+)? ", shown["output"])
    else:
        # ip(8) is missing: the kernel's own tables have the same.
        table = text("/proc/net/fib_trie")
        found = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table)
        rows = (line.split() for line in text("/proc/net/if_inet6").splitlines())
        found += [":".join(re.findall("....", row[0])) for row in rows if row]
    return [one for one in dict.fromkeys(found) if not one.lower().startswith("fe80:")]
