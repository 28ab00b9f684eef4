"""Tells all there is to know about a node's kubelet, as one JSON object on standard output.

Runs on the node, as root, under whatever Python 3 is there (3.9 and newer, standard library only).
The one argument is a JSON object: ``unit`` and ``unit_path``, ``files`` (paths to look at),
``secrets`` (those of them whose content stays on the node), ``kubeconfig``, ``lock_file``,
``node_ip``, and ``patience``: by how much to multiply what a question may take. No private key
leaves the node, nor is one written anywhere but to memory.

The kubelet's lock file is never opened, only looked at: opening it makes the kubelet exit.
"""

import base64
import grp
import hashlib
import itertools
import json
import os
import pwd
import re
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

SECONDS = 5.0
CREDENTIALS = ("client-certificate-data", "client-key-data")
UNIT_PROPERTIES = (
    "LoadState ActiveState SubState UnitFileState FragmentPath DropInPaths NeedDaemonReload "
    "MainPID NRestarts Result ExecMainStatus ExecMainStartTimestampMonotonic "
    "ActiveEnterTimestampMonotonic"
)


def main() -> None:
    """Print what is found for the request in the first argument."""
    global SECONDS
    asked = json.loads(sys.argv[1])
    SECONDS *= asked["patience"]
    with ThreadPoolExecutor(max_workers=6) as pool:
        verify = pool.submit(output, ["systemd-analyze", "verify", asked["unit_path"]])
        journal = pool.submit(
            output,
            ["journalctl", "--unit", asked["unit"], "--lines=50", "--no-pager", "--output=cat"],
        )
        failed = pool.submit(
            output, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]
        )
        unit = pool.submit(properties, asked["unit"])
        resolved = pool.submit(properties, "systemd-resolved.service")
        addresses = pool.submit(output, ["ip", "-o", "-4", "addr", "show"])
        pid = int(unit.result().get("MainPID") or 0)
        running = argv(pid)
        version = pool.submit(version_of, running)
        kubeconfig = whole(text(asked["kubeconfig"]), os.path.dirname(asked["kubeconfig"]))
        own, reason = own_credentials(kubeconfig)
        found = {
            "time": time.time(),
            "hostname": socket.gethostname(),
            "unit": unit.result(),
            "resolved": resolved.result(),
            "verify": verify.result(),
            "journal": journal.result()["output"].splitlines(),
            "failed_units": [
                line.split()[0] for line in failed.result()["output"].splitlines() if line.strip()
            ],
            "addresses": re.findall(r"inet (\S+?)/", addresses.result()["output"]),
            "argv": running,
            "version": version.result(),
            "comm": text(f"/proc/{pid}/comm").strip() if pid else "",
            "files": {path: look_at(path, path in asked["secrets"]) for path in asked["files"]},
            "lock_file": ownership(asked["lock_file"]),
            "resolv_conf": text("/etc/resolv.conf"),
            "kubeconfig": re.sub(r"(client-key-data: *)\S+", r"\1(cut out)", kubeconfig),
            "own_key": "matches" if own else reason,
            "healthz": ask(HTTPConnection("127.0.0.1", 10248, timeout=SECONDS), "/healthz"),
            "anonymous": ask(kubelet_port(asked["node_ip"], tls()), "/pods"),
        }
        if own:
            for name in ("healthz", "pods", "configz"):
                found["own_" + name] = ask(kubelet_port(asked["node_ip"], own), "/" + name)
    json.dump(found, sys.stdout)


def output(command: list[str]) -> dict[str, Any]:
    """Run a command and return its exit status and what it wrote."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"status": -1, "output": str(error)}
    return {"status": done.returncode, "output": done.stdout.decode("utf-8", "replace")}


def properties(unit: str) -> dict[str, str]:
    """Return systemd's own account of a unit."""
    command = ["systemctl", "show", unit]
    command += ["--property=" + name for name in UNIT_PROPERTIES.split()]
    pairs = (line.partition("=") for line in output(command)["output"].splitlines())
    return {name: value for name, _, value in pairs}


def argv(pid: int) -> list[str]:
    """Return a process's arguments as the kernel has them."""
    return text(f"/proc/{pid}/cmdline").split("\0")[:-1] if pid else []


def version_of(running: list[str]) -> str:
    """Return what the running program says is its version; its words end where its flags begin."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), running))
    return str(output([*words, "--version"])["output"]).strip() if words else ""


def text(path: str) -> str:
    """Return a file's text, or nothing where there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def look_at(path: str, secret: bool) -> dict[str, Any] | None:
    """Return a file's owner, mode and digest, and its content unless that is secret."""
    seen = ownership(path)
    if seen is not None:
        with open(path, "rb") as file:
            content = file.read()
        seen["sha256"] = hashlib.sha256(content).hexdigest()
        if not secret:
            seen["content"] = base64.b64encode(content).decode()
    return seen


def ownership(path: str) -> dict[str, Any] | None:
    """Return who owns a file, and its mode, without opening it; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return {
        "owner": name_of(pwd.getpwuid, status.st_uid),
        "group": name_of(grp.getgrgid, status.st_gid),
        "mode": stat.S_IMODE(status.st_mode),
    }


def tls() -> ssl.SSLContext:
    """Return a client's TLS settings; the kubelet signs its serving certificate itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def own_credentials(kubeconfig: str) -> tuple[ssl.SSLContext | None, str]:
    """Return a client with the kubeconfig's certificate, or None and why there can be none."""
    context = tls()
    pair = [re.search(name + r": *(\S+)", kubeconfig) for name in CREDENTIALS]
    if not all(pair):
        return None, "the kubeconfig has no " + " and ".join(CREDENTIALS)
    # /run is in memory; the file is readable by root only and gone at once.
    with tempfile.NamedTemporaryFile(dir="/run") as file:
        try:
            for match in pair:
                file.write(base64.b64decode(match.group(1)) if match else b"")
            file.flush()
            context.load_cert_chain(file.name)
        except (ValueError, OSError) as error:
            return None, str(error)
    return context, ""


def whole(kubeconfig: str, folder: str) -> str:
    """Return a kubeconfig that has in itself what it names the files of, as kubeadm's does.

    One file may hold certificate and key: of each only what is named comes in.
    """

    def data(match: "re.Match[str]") -> str:
        name, path = match.groups()
        kind = "[A-Z ]*PRIVATE KEY" if name == "client-key" else "CERTIFICATE"
        block = f"-----BEGIN {kind}-----.*?-----END {kind}-----\n?"
        found = "".join(re.findall(block, text(os.path.join(folder, path)), re.DOTALL))
        return f"{name}-data: {base64.b64encode(found.encode()).decode()}" if found else match[0]

    named = r"\b(certificate-authority|client-certificate|client-key): *[\"']?([^\s\"']+)[\"']?"
    return re.sub(named, data, kubeconfig)


def kubelet_port(address: str, context: ssl.SSLContext) -> HTTPConnection:
    """Return a connection to the kubelet's own port."""
    return HTTPSConnection(address, 10250, timeout=SECONDS, context=context)


def ask(connection: HTTPConnection, path: str) -> dict[str, Any]:
    """Return the status and body of an answer, or status 0 and why there is none."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return {"status": answer.status, "body": answer.read().decode("utf-8", "replace")}
    except (OSError, HTTPException) as error:
        return {"status": 0, "body": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def name_of(look_up: Any, number: int) -> str:
    """Return the name of a user or group, or its number where it has none."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


if __name__ == "__main__":
    main()
