"""The pages on the kubelet's ports."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import since, version
from hollow_common.go import go_json, quote, read_file, timestamp
from hollow_common.http_server import (
    DISABLED,
    NO_ROUTE,
    NOT_ALLOWED,
    NOT_FOUND,
    Page,
    Request,
    json_page,
    moved,
    text_page,
)
from hollow_common.machine import architecture, boot_id, machine_id, memory_bytes

from hollow_kubelet.access import Gate
from hollow_kubelet.node import Node
from hollow_kubelet.static_pods import StaticPods

if TYPE_CHECKING:
    from collections.abc import Callable


def answer_healthz(request: Request, checks: tuple[str, ...]) -> Page | None:
    """Answer below /healthz: k8s.io/apiserver/pkg/server/healthz."""
    if request.path in [f"/healthz/{check}" for check in checks]:
        return text_page("ok")
    if request.path != "/healthz":
        return None
    if "verbose" not in request.query:
        return text_page("ok")
    lines = "".join(f"[+]{check} ok\n" for check in checks)
    return text_page(f"{lines}healthz check passed\n")


def healthz_port(request: Request) -> Page:
    """Answer on --healthz-port."""
    return answer_healthz(request, ("ping",)) or NOT_FOUND


CLOSED = (
    "/run/", "/exec/", "/attach/", "/portForward/", "/containerLogs/", "/runningpods/",
    "/debug/pprof/", "/logs/",
)  # fmt: skip


class KubeletPages:
    """The pages of the kubelet's own port and of the read-only one: pkg/kubelet/server/server.go.

    The path of a service ends in a slash if there is nothing but what is below it.
    """

    LOGS = "/var/log"

    def __init__(
        self, node: Node, pods: StaticPods, configz: dict[str, Any], standalone: bool
    ) -> None:
        self.node = node
        self.pods = pods
        self.configz = configz
        self.standalone = standalone
        self.started = timestamp()
        self.checks = ("ping", "log", "syncloop") if since(12) else ("ping", "syncloop")
        self.services: dict[str, Callable[[str], Page]] = {
            "/pods": self.pod_list,
            "/stats/": self.stats,
        }
        if not since(21):
            self.services["/spec/"] = self.spec
        self.debugging: dict[str, Callable[[str], Page]] = {
            "/attach": self.no_container,
            "/containerLogs": self.no_container,
            "/cri/": self.nothing,
            "/debug/pprof/": self.profile,
            "/exec": self.no_container,
            "/logs/": self.logs,
            "/portForward": self.no_container,
            "/run": self.no_container,
            "/runningpods/": self.running_pods,
        }

        closed = dict.fromkeys(CLOSED, self.disabled) if since(9) else {}
        self.open_to_all = {**self.services, **closed}

    def read_only(self, request: Request) -> Page:
        """Answer on --read-only-port, which asks for no authentication and shows little."""
        return self.page(request, gate=None, services=self.open_to_all, configz=False)

    def protected(self, gate: Gate, debugging: bool) -> Callable[[Request], Page]:
        """Return what answers on --port."""
        services = {**self.services, **self.debugging} if debugging else self.open_to_all
        return lambda request: self.page(request, gate, services, debugging)

    def page(
        self,
        request: Request,
        gate: Gate | None,
        services: dict[str, Callable[[str], Page]],
        configz: bool,
    ) -> Page:
        """Answer a request; an unknown path is not found, whoever asks."""
        path = request.path
        root = next((one for one in services if f"{path}/".startswith(f"{one.rstrip('/')}/")), "")
        simple = self.simple_page(request, configz)
        if simple is None and not root:
            return NOT_FOUND
        if root and f"{path}/" == root:
            return moved(301, root, "Moved Permanently")
        refusal = gate.refuse(request) if gate else None
        if refusal or simple:
            return refusal or simple or NOT_FOUND
        if services[root] == self.disabled:
            return self.disabled("")
        posted = services[root] == self.no_container and root != "/containerLogs"
        if request.method not in (("GET", "POST") if posted else ("GET",)):
            return NOT_ALLOWED
        return services[root](path[len(root) :].strip("/"))

    def simple_page(self, request: Request, configz: bool) -> Page | None:
        """Return a page that has no other pages below it and takes any method."""
        if request.path in ("/metrics", "/metrics/cadvisor"):
            return metrics_page()
        if request.path == "/configz" and configz:
            return text_page(go_json(self.configz))
        return answer_healthz(request, self.checks)

    def pod_list(self, below: str) -> Page:
        """Return the static pods."""
        return NO_ROUTE if below else list_of_pods(self.pods.items())

    def running_pods(self, below: str) -> Page:
        """Return the running pods: there are never any."""
        return NO_ROUTE if below else list_of_pods(None)

    def stats(self, below: str) -> Page:
        """Return the summary of a node without containers."""
        if below != "summary":
            return NO_ROUTE
        if not self.standalone and not self.node.registered:
            problem = f"failed GetNode: node '{self.node.name}' not found"
            return text_page(f"Internal Error: {problem}", 500)
        node = {"nodeName": self.node.name, "startTime": self.started}
        return json_page({"node": node, "pods": []})

    def spec(self, below: str) -> Page:
        """Return what cAdvisor knows of the machine, in short."""
        return NO_ROUTE if below else json_page(machine_info())

    def logs(self, below: str) -> Page:
        """Return a file or a list of files in /var/log."""
        path = os.path.join(self.LOGS, *(part for part in below.split("/") if part != ".."))
        try:
            if not os.path.isdir(path):
                return Page(200, read_file(path))
            names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(path))
        except (OSError, ValueError, Failure):
            return NOT_FOUND
        links = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
        return Page(200, f"<pre>\n{links}</pre>\n".encode(), "text/html; charset=utf-8")

    def profile(self, below: str) -> Page:
        """Return the command line, the only profile that has content."""
        return Page(200, "\0".join(sys.argv).encode()) if below == "cmdline" else NO_ROUTE

    def no_container(self, below: str) -> Page:
        """Answer a question about a container: there are none."""
        _, slash, rest = below.partition("/")
        pod = rest.partition("/")[0]
        return text_page(f"pod {quote(pod)} does not exist\n", 404) if slash else NO_ROUTE

    def disabled(self, below: str) -> Page:
        """Answer for a service that is turned off, in the words of 1.9 and later."""
        return DISABLED

    def nothing(self, below: str) -> Page:
        """Answer for a service that does not exist."""
        return NO_ROUTE


def list_of_pods(items: list[Any] | None) -> Page:
    """Return a PodList; its items are null if there are none."""
    return json_page({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}, "\n")


def machine_info() -> dict[str, Any]:
    """Return the machine as cAdvisor names its parts."""
    return {
        "num_cores": os.cpu_count(),
        "memory_capacity": memory_bytes(),
        "machine_id": machine_id(),
        "system_uuid": machine_id(),
        "boot_id": boot_id(),
    }


def metrics_page() -> Page:
    """Return the metrics of a kubelet without pods."""
    text = (
        "# TYPE kubelet_running_container_count gauge\nkubelet_running_container_count 0\n"
        "# TYPE kubelet_running_pod_count gauge\nkubelet_running_pod_count 0\n"
        "# TYPE kubernetes_build_info gauge\n"
        f'kubernetes_build_info{{gitVersion="{version()}",platform="linux/{architecture()}"}} 1\n'
    )
    return Page(200, text.encode(), "text/plain; version=0.0.4")


def cadvisor_port(request: Request) -> Page:
    """Answer on --cadvisor-port, in short."""
    if request.path == "/healthz":
        return text_page("ok")
    if request.path == "/metrics":
        return metrics_page()
    if request.path == "/api/v1.0/machine":
        return json_page(machine_info())
    if request.path == "/containers/":
        return Page(200, b"<html><title>cAdvisor - /</title></html>\n", "text/html; charset=utf-8")
    return moved(307, "/containers/", "Temporary Redirect")
