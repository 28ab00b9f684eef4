"""The wait for a control plane's API servers, and why one does not come up."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import requests

from pytest_kubecluster.artifacts.certificates import SKEW
from pytest_kubecluster.artifacts.control_plane import etcd_client
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_server import ApiServer, last_words
from pytest_kubecluster.nodes.journal import digest
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.control_plane import ETCD, ETCD_CLIENTS
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.progress import count
from pytest_kubecluster.util.redact import redact

_SERVER = "kube-apiserver"
_UNITS = (ETCD, _SERVER)
_LOOK_SECONDS = 1.0
_RESTARTS = 5
"""How often systemd starts a program again until the wait for it is given up."""
_ETCD_SECONDS = 2.0
_LINES, _READ_LINES = 12, 200
_PROPERTIES = "--property=Id,ActiveState,SubState,Result,ExecMainStatus,NRestarts"
_TAKEN = re.compile(r":(\d+): bind: address already in use")


@dataclass(frozen=True)
class ApiServers:
    """The API servers of a cluster's masters, each with its etcd member."""

    spec: ClusterSpec
    pki: Pki
    kubeconfig: Path
    masters: Sequence[Node]

    def wait(self, seconds: float) -> None:
        """Wait until every master's API server answers.

        Raises KubeClusterError for one that does not, with why and with its and etcd's last lines:
        as soon as one of the two is stopped, or was started over and over, else at the end.
        """
        given_up = Event()

        def wait(node: Node) -> str:
            problem = self._wait_for(node, seconds, given_up)
            if problem:
                given_up.set()
            return problem

        problems = each_in_parallel(wait, self.masters, limit=len(self.masters))
        failed = [(node, text) for node, text in zip(self.masters, problems, strict=True) if text]
        if failed:
            (node, problem), *others = failed
            also = [f"  {other.name}: {text}" for other, text in others]
            raise KubeClusterError("\n".join([*self._report(node, problem), *also]))

    def _wait_for(self, node: Node, seconds: float, given_up: Event) -> str:
        """Return why the API server of a master is not up; nothing if it, or another, is why."""
        server = ApiServer(self.kubeconfig, node.name, ours=True)
        problem = ""
        looked = time.monotonic()
        at_first: Mapping[str, int] = {}

        def settled() -> bool:
            nonlocal problem, looked, at_first
            problem = _not_ok(server)
            if not problem or given_up.is_set():
                return True
            if time.monotonic() - looked < _LOOK_SECONDS:
                return False
            states = unit_states(node)
            looked = time.monotonic()
            at_first = at_first or {unit: state.restarts for unit, state in states.items()}
            limit = _RESTARTS * node.access.timeout_factor
            for unit, state in states.items():
                times = state.restarts - at_first.get(unit, 0)
                if state.stopped or times >= limit:
                    ended = "does not run" if state.stopped else f"ended {times} times"
                    problem = f"{unit} {ended}{state.ending}"
                    return True
            return False

        poll(settled, seconds, every=0.2)
        return "" if given_up.is_set() else problem

    def _report(self, node: Node, problem: str) -> Iterator[str]:
        yield f"{node.name}: {problem}"
        if clock := clock_problem(node):
            yield f"  {clock}"
        states = unit_states(node)
        lines = {unit: last_lines(node, unit) for unit in _UNITS}
        shown = "\n".join(line for some in lines.values() for line in some)
        for port in dict.fromkeys(_TAKEN.findall(shown)):
            yield f"  port {port} is taken on {node.name}{_holder(node, port)}"
        for line in self.etcd_problems():
            yield f"  {line}"
        for unit in _UNITS:
            state = f", which is {states[unit]}" if unit in states else ""
            yield f"  the last lines of {unit} on {node.name}{state} (journalctl -u {unit}):"
            yield from [f"    {line}" for line in lines[unit]] or ["    (none)"]

    def etcd_problems(self) -> Iterator[str]:
        """Yield that etcd has no quorum, with what each member answers, if it has none."""
        states = {node.name: etcd_state(node, self.pki) for node in self.spec.masters}
        healthy = [name for name, state in states.items() if state == "healthy"]
        needed = len(states) // 2 + 1
        if len(healthy) < needed:
            yield (
                f"etcd has no quorum: {len(healthy)} of {count(len(states), 'member')} healthy, "
                f"{needed} needed"
            )
            yield from (f"  {name}: {state}" for name, state in states.items())


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit."""

    active: str
    sub: str
    result: str
    status: str
    restarts: int

    @property
    def stopped(self) -> bool:
        """Whether systemd does not start it again by itself."""
        return self.active in ("inactive", "failed")

    @property
    def ending(self) -> str:
        """How its program failed, as the end of a sentence; nothing if it runs again already."""
        if self.result == "success":
            return ""
        return f" (result {self.result}, exit status {self.status})"

    def __str__(self) -> str:
        restarts = f" after {count(self.restarts, 'restart')}" if self.restarts else ""
        return f"{self.active} ({self.sub}){restarts}"


def unit_states(node: Node) -> Mapping[str, UnitState]:
    """Return the states of etcd and of the API server on a master; none if it cannot be asked."""
    try:
        shown = node.run("systemctl", "show", _PROPERTIES, *_UNITS).stdout
    except KubeClusterError:
        return {}
    units = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in shown.split("\n\n")
    ]
    return {
        unit["Id"].removesuffix(".service"): UnitState(
            unit.get("ActiveState", ""),
            unit.get("SubState", ""),
            unit.get("Result", ""),
            unit.get("ExecMainStatus", ""),
            int(unit.get("NRestarts") or 0),
        )
        for unit in units
        if "Id" in unit
    }


def clock_problem(node: Node) -> str:
    """Return by how much a node's clock is off, if it is by more than certificates allow."""
    try:
        ahead = int(node.run("date", "+%s").stdout) - time.time()
    except (KubeClusterError, ValueError):
        return ""
    if abs(ahead) < SKEW.total_seconds() / 2:
        return ""
    where = "ahead of" if ahead > 0 else "behind"
    return (
        f"the clock of {node.name} is {abs(ahead) / 60:.0f} minutes {where} this host's: "
        "certificates may have expired there, or may not be valid yet"
    )


def etcd_state(node: NodeSpec, pki: Pki) -> str:
    """Return ``healthy``, or what is wrong with the etcd member on a master."""
    ca, cert, key = etcd_client(pki)
    url = f"https://{node.address}:{ETCD_CLIENTS}/health"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(
                url, cert=(str(cert), str(key)), verify=str(ca), timeout=_ETCD_SECONDS
            ).json()
        except requests.Timeout:
            return "no answer"
        except requests.RequestException as error:
            cause = last_words(error).strip("')\"")
            return f"not reached: {cause or type(error).__name__}"
    return "healthy" if answer.get("health") in ("true", True) else "it has no leader"


def last_lines(node: Node, unit: str) -> list[str]:
    """Return the last lines of a unit that differ, without the usage that follows an error."""
    argv = ["journalctl", "--unit", unit, f"--lines={_READ_LINES}", "--no-pager", "--output=cat"]
    try:
        text: str = node.run(*argv).stdout
    except KubeClusterError as error:
        return [str(error)]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("      ")]
    return [redact(str(line)) for line in digest(lines, _LINES)]


def _not_ok(server: ApiServer) -> str:
    """Return why an API server is not healthy, if it is not."""
    try:
        answer = server.text("/healthz")
    except KubeClusterError as error:
        return str(error)
    return "" if answer == "ok" else f"{server.url}/healthz answers {answer!r}"


def _holder(node: Node, port: str) -> str:
    """Return which process listens on a port, as the end of a sentence."""
    words = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
    try:
        shown = node.run(*words, "sport", "=", f":{port}").stdout
    except KubeClusterError:
        return ""
    holders = dict.fromkeys(re.findall(r'\("([^"]+)",pid=(\d+)', shown))
    names = " and ".join(f"{name}, process {pid}" for name, pid in holders)
    return f" by {names}" if names else ""
