"""Look at a node: what its kubelet is, on disk, to systemd, as a process, and on its ports."""

from __future__ import annotations

import glob
import json
import os
import re
import socket
import stat
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import credentials, documents, ports, process, proxy, system
from .options import Options

_SECONDS = 5.0
HEALTHZ, KUBELET = 10248, 10250
"""The default ports of a kubelet."""


class Parts:
    """The parts of a look: each is found, or has a reason in ``problems`` and costs no other."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.problems: dict[str, str] = {}

    def start(self, action: Any, *arguments: Any) -> Future[dict[str, Any]]:
        """Begin with a part that has to wait for something."""
        return self._pool.submit(documents.attempt, lambda: action(*arguments))

    def take(self, name: str, otherwise: Any, action: Any, *arguments: Any) -> Any:
        """Return a part, from ``start`` or an action to be done now."""
        done = (
            action.result()
            if isinstance(action, Future)
            else documents.attempt(lambda: action(*arguments))
        )
        if "problem" in done:
            self.problems[name] = done["problem"]
        return done.get("value", otherwise)


def look(
    unit: str,
    files: dict[str, bool],
    expected: dict[str, str],
    asked_ports: dict[str, int],
    timeout_factor: float,
) -> dict[str, Any]:
    """Return all there is to know.

    ``files`` are paths to look at, and whether their content stays on the node; ``expected`` has
    paths by flag, for a kubelet that does not run; ``asked_ports`` are to be asked instead of those
    the kubelet is configured with.
    """
    seconds = _SECONDS * timeout_factor
    with ThreadPoolExecutor(max_workers=12) as pool:
        parts = Parts(pool)
        accounts = parts.start(system.show, [unit, "systemd-resolved.service"], 4 * seconds)
        host = {
            "failed_units": parts.start(_failed_units, 4 * seconds),
            "journal": parts.start(system.journal, unit, 50, 4 * seconds),
            "addresses": parts.start(system.addresses, 4 * seconds),
        }
        account, resolved = parts.take("unit", [{}, {}], accounts)
        host["verify"] = parts.start(_verify, account.get("FragmentPath") or unit, 4 * seconds)
        host["triggers"] = parts.start(_triggers, account, 4 * seconds)
        found = {
            "time": time.time(),
            "monotonic": time.monotonic(),
            "hostname": socket.gethostname(),
            "unit": account,
            "resolved": resolved,
            "resolv_conf": system.text("/etc/resolv.conf"),
            **_kubelet(parts, account, expected, asked_ports, seconds),
            "unit_files": parts.take("unit_files", {}, unit_files, account),
            "files": {
                path: parts.take(path, None, _described, path, secret)
                for path, secret in files.items()
            },
            **{name: parts.take(name, None, future) for name, future in host.items()},
        }
    return {**found, "problems": parts.problems}


def _described(path: str, secret: bool) -> dict[str, Any] | None:
    return system.describe(path, secret=secret)


def _kubelet(
    parts: Parts,
    account: dict[str, str],
    expected: dict[str, str],
    asked_ports: dict[str, int],
    seconds: float,
) -> dict[str, Any]:
    """Return what is known of the kubelet: its process, what it was given, what it answers."""
    every = parts.take("processes", [], process.processes)
    running = process.kubelet_of(account, every)
    kubelet = None
    if running:
        main = int(account.get("MainPID") or 0)
        kubelet = parts.take("kubelet", None, process.describe, running, main)
    argv, folder, root = (
        (kubelet["argv"], kubelet["folder"], kubelet["root"]) if kubelet else ([], "/", "")
    )
    options = Options(argv, folder, expected)
    files = parts.take("configuration", [], configuration, options, root)
    options.add([one["document"] for one in files if "document" in one])
    clients: list[Any] = []
    kubeconfig = parts.take("kubeconfig", None, used_kubeconfig, options, root, clients)
    asked, waiting = _ask(options, asked_ports, clients, seconds, parts)
    pid = running.pid if running else 0
    held = parts.start(process.holders, [port for port in asked.values() if port], pid)
    client_ca = options.path("client-ca-file", "authentication.x509.clientCAFile")
    found = {
        "kubelet": kubelet,
        "kubelets": [
            {"pid": one.pid, "argv": list(one.argv)[:3], "unit": process.unit_of(one)}
            for one in every
            if one.is_kubelet
        ],
        "unit_processes": [list(one.argv)[:2] for one in process.of_unit(every, account)],
        "configuration": files,
        "kubeconfig": kubeconfig,
        "proxy": parts.take("proxy", None, proxy.describe, every),
        "client_ca": parts.take("client_ca", {}, ca_certificates, client_ca, root),
        "lock_file": parts.take("lock_file", None, _lock_file, options),
        "static_pods": parts.take("static_pods", None, _static_pods, options, root),
        "ports": asked,
        "holders": parts.take("holders", {}, held),
    }
    answers = {name: parts.take(f"port {name}", None, one) for name, one in waiting.items()}
    metrics = answers.pop("metrics", None)
    shown = {"own_configz": configuration_shown, "own_pods": kind_shown, "anonymous": kind_shown}
    for name, part in shown.items():
        if answers.get(name) and answers[name]["status"] == 200:
            answers[name]["body"] = part(answers[name]["body"])
    found["version"] = _version(metrics, account.get("Id", ""), running, seconds)
    return {**found, "answers": answers}


def _verify(unit: str, seconds: float) -> dict[str, Any]:
    return system.output(["systemd-analyze", "verify", "--man=no", unit], seconds)


def _failed_units(seconds: float) -> list[str]:
    command = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"]
    done = system.output(command, seconds)
    if done["status"] != 0:
        raise RuntimeError(done["output"].strip())
    return [line.split()[0] for line in done["output"].splitlines() if line.strip()]


def _triggers(account: dict[str, str], seconds: float) -> dict[str, Any]:
    """Return systemd's account of the units that start this one: paths, sockets, timers."""
    units = account.get("TriggeredBy", "").split()
    if not units:
        return {}
    shown = system.show(units, seconds, "Id LoadState ActiveState UnitFileState")
    return {one.get("Id", name): one for name, one in zip(units, shown, strict=False)}


def unit_files(account: dict[str, str]) -> dict[str, Any]:
    """Return the files that make the unit: its own, drop-ins, environment files."""
    paths = {account.get("FragmentPath", ""): "unit"}
    paths |= dict.fromkeys(system.paths(account.get("DropInPaths", "")), "drop-in")
    for line in account.get("EnvironmentFiles", "").splitlines():
        paths |= dict.fromkeys(_matching(line.rpartition(" (")[0] or line), "environment")
    return {
        path: {"kind_of_file": kind, **(system.describe(path) or {"missing": True})}
        for path, kind in paths.items()
        if path
    }


def _matching(pattern: str) -> list[str]:
    """Return the files that an ``EnvironmentFile=`` names: it may have wildcards."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]


def configuration(options: Options, root: str) -> list[dict[str, Any]]:
    """Return the file of ``--config`` and those of ``--config-dir``, in the order of merging."""
    found = []
    if path := options.path("config"):
        found.append(documents.described(path, root))
    if folder := options.path("config-dir"):
        for here, folders, names in os.walk(system.inside(root, folder)):
            folders.sort()
            inner = here[len(system.inside(root, folder)) :]
            found += [
                {**documents.described(folder + inner + "/" + name, root), "drop_in": True}
                for name in sorted(names)
                if name.endswith(".conf")
            ]
    return found


def used_kubeconfig(options: Options, root: str, clients: list[Any]) -> dict[str, Any] | None:
    """Return the kubeconfig that the kubelet uses; None for one that has no API server."""
    path = options.path("kubeconfig")
    if not path and options.value("require-kubeconfig") is not None:
        path = "/var/lib/kubelet/kubeconfig"
    if not path:
        return None
    found = {**credentials.describe(path, root, clients), "file": system.ownership(path, root)}
    if bootstrap := options.path("bootstrap-kubeconfig"):
        first = credentials.describe(bootstrap, root, [])
        found["bootstrap"] = {**first, "file": system.ownership(bootstrap, root)}
    return found


def ca_certificates(path: str, root: str) -> dict[str, Any]:
    """Return the certificates of a CA file."""
    if not path:
        return {"path": "", "certificates": []}
    try:
        pem = system.read(path, root).decode("utf-8", "replace")
    except FileNotFoundError:
        return {"path": path, "certificates": [], "problem": "it does not exist"}
    except system.Unreadable as error:
        return {"path": path, "certificates": [], "problem": str(error)}
    found = documents.certificates(pem)
    key = os.path.splitext(path)[0] + ".key"
    return {
        "path": path,
        "certificates": found,
        "problem": "" if found else "it has no certificate",
        "file": system.describe(path, secret=True, root=root),
        "key_path": key,
        "key_file": system.ownership(key, root),
    }


def _lock_file(options: Options) -> dict[str, Any] | None:
    """Return the owner of the lock file. It is never opened: that makes the kubelet exit."""
    path = options.path("lock-file", "lockFilePath")
    return {"path": path, "file": system.ownership(path)} if path else None


def _static_pods(options: Options, root: str) -> dict[str, Any] | None:
    """Return the folder or file of static pods; names that begin with a dot do not count."""
    path = options.path("pod-manifest-path", "staticPodPath")
    if not path:
        return None
    here = system.inside(root, path)
    names = []
    if os.path.isdir(here):
        names = sorted(
            name
            for name in os.listdir(here)
            if not name.startswith(".") and stat.S_ISREG(os.stat(os.path.join(here, name)).st_mode)
        )
    return {"path": path, "file": system.ownership(path, root), "names": names}


def _ask(
    options: Options, asked: dict[str, int], clients: list[Any], seconds: float, parts: Parts
) -> tuple[dict[str, int], dict[str, Future[dict[str, Any]]]]:
    """Ask the kubelet's ports, all at the same time; return the ports, 0 for one that is off."""
    healthz = asked.get("healthz", options.port("healthz-port", "healthzPort", HEALTHZ))
    kubelet = asked.get("kubelet", options.port("port", "port", KUBELET))
    local = options.text("healthz-bind-address", "healthzBindAddress") or "127.0.0.1"
    address = options.text("address", "address")
    answers = {}
    if healthz:
        answers["healthz"] = parts.start(ports.plain, local, healthz, "/healthz", seconds)
    if kubelet:
        context = ports.without_verification()
        answers["anonymous"] = parts.start(
            ports.secure, address, kubelet, "/pods", seconds, context
        )
    for client in clients if kubelet else ():
        for name in ("healthz", "pods", "configz", "metrics"):
            key = name if name == "metrics" else f"own_{name}"
            answers[key] = parts.start(ports.secure, address, kubelet, f"/{name}", seconds, client)
    return {"healthz": healthz, "kubelet": kubelet}, answers


def configuration_shown(body: str) -> str:
    """Return what /configz shows, without the secrets of it."""
    try:
        document = json.loads(body)
        shown = {name: documents.without_secrets(one) for name, one in document.items()}
    except (ValueError, AttributeError, TypeError):
        return ""
    return json.dumps(shown)


def kind_shown(body: str) -> str:
    """Return the kind of an answer alone: pods hold secrets, and anything else may."""
    try:
        return json.dumps({"kind": json.loads(body)["kind"]})
    except (ValueError, KeyError, TypeError):
        return ""


def _version(
    metrics: dict[str, Any] | None, unit: str, running: Any, seconds: float
) -> dict[str, str]:
    """Return the running kubelet's version and its source, without starting another kubelet."""
    if running is None:
        return {"text": "", "source": "", "problem": "no kubelet runs"}
    if metrics and metrics["status"] == 200:
        match = re.search(r"^kubernetes_build_info\{.*?gitVersion=\"(.*?)\"", metrics["body"], re.M)
        if match:
            return {"text": match[1], "source": f"port {metrics['port']}, /metrics"}
    ways = {
        f"/proc/{running.pid}/exe": lambda: process.version_in_program(running.pid),
        "its journal": lambda: process.version_in_journal(unit, running.pid, seconds),
    }
    for source, way in ways.items():
        if text := documents.attempt(way).get("value"):
            return {"text": text, "source": source}
    problem = "neither /metrics nor its program nor its journal shows its version"
    return {"text": "", "source": "", "problem": problem}
