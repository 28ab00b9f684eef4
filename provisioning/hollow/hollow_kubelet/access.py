"""Authentication and authorization of requests to the kubelet's port."""

from __future__ import annotations

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import aggregate
from hollow_common.http_server import Page, Request, text_page
from hollow_common.log import log
from hollow_common.tls import Client

from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.flags import FlagSet

SUBRESOURCES = {"/stats": "stats", "/metrics": "metrics", "/logs": "log", "/spec": "spec"}
FINE_GRAINED = {
    "/pods": "pods", "/runningpods": "pods", "/healthz": "healthz", "/configz": "configz",
}  # fmt: skip
"""Subresources that allow less than all of a node: KubeletFineGrainedAuthz, from 1.33 on."""
VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Gate:
    """Authenticates and authorizes requests: auth.go in cmd/kubelet/app and pkg/kubelet/server."""

    def __init__(self, flags: FlagSet, node: str, api: ApiServer | None) -> None:
        """Refuse a configuration that cannot work."""
        self.node = node
        self.api = api
        self.anonymous = flags["anonymous-auth"]
        self.tokens = flags["authentication-token-webhook"]
        self.mode = flags["authorization-mode"]
        if self.tokens and api is None:
            raise Failure("no client provided, cannot use webhook authentication")
        # From 1.17 on, the reader of a client CA that is not given counts as a method.
        if not (flags["client-ca-file"] or self.tokens or self.anonymous or since(17)):
            raise Failure("No authentication method configured")
        if self.mode == "Webhook" and api is None:
            raise Failure("no client provided, cannot use webhook authorization")
        if self.mode not in ("AlwaysAllow", "Webhook"):
            problem = (
                f"Unknown authorization mode {self.mode}"
                if self.mode
                else "No authorization mode specified"
            )
            raise Failure(problem[0].lower() + problem[1:] if since(16) else problem)

    def refuse(self, request: Request) -> Page | None:
        """Return the answer to a request that is not allowed, or None."""
        user = self.authenticate(request)
        if user is None:
            return text_page("Unauthorized", 401)
        return self.forbid(user, request) if self.mode == "Webhook" else None

    def authenticate(self, request: Request) -> Client | None:
        """Return the client of a request, or None if it is unknown or not allowed."""
        client = request.client
        if client.name and not client.problem:
            return client
        problems = [client.problem] if client.problem else []
        if self.tokens and self.api and request.token:
            version = "v1" if since(17) else "v1beta1"
            review = {
                "apiVersion": f"authentication.k8s.io/{version}",
                "kind": "TokenReview",
                "spec": {"token": request.token},
            }
            path = f"/apis/authentication.k8s.io/{version}/tokenreviews"
            try:
                status = self.api.request("POST", path, review).get("status", {})
            except ApiError as error:
                problems.append(str(error))
            else:
                if status.get("authenticated"):
                    user = status.get("user", {})
                    return Client(user.get("username", ""), tuple(user.get("groups", ())))
        if problems:
            problem = aggregate(problems)
            where = "server.go:236"
            log("E", where, f"Unable to authenticate the request due to an error: {problem}")
        elif self.anonymous:
            return Client("system:anonymous", ("system:unauthenticated",))
        return None

    def forbid(self, user: Client, request: Request) -> Page | None:
        """Ask the API server whether a user may make a request; if it cannot be asked, answer 500.

        InstallAuthFilter in pkg/kubelet/server/server.go.
        """
        verb = VERBS.get(request.method, "")
        subresources = self.subresources(request.path)
        who = f"user={user.name}, verb={verb}, resource=nodes"
        for subresource in subresources:
            try:
                if self.allows(user, verb, subresource):
                    return None
            except ApiError as error:
                problem = f"Failed to make webhook authorizer request: {error}"
                log("E", "webhook.go:154", problem)
                return text_page(f"Authorization error ({who}, subresource={subresource})", 500)
        if since(33):
            shown = f"subresource(s)=[{' '.join(subresources)}]"
            return text_page(f"Forbidden ({who}, {shown})\n", 403)
        return text_page(f"Forbidden ({who}, subresource={subresources[0]})", 403)

    @staticmethod
    def subresources(path: str) -> list[str]:
        """Return the subresources of a node that a path may be allowed by."""
        first = "/" + path.split("/")[1]
        fine = FINE_GRAINED.get(first) if since(33) else None
        return [*([fine] if fine else []), SUBRESOURCES.get(first, "proxy")]

    def allows(self, user: Client, verb: str, subresource: str) -> bool:
        """Return the API server's answer about a user and a subresource of this node.

        Raises ApiError if there is none.
        """
        attributes = {"verb": verb, "resource": "nodes", "subresource": subresource}
        version = "v1" if since(17) else "v1beta1"
        review = {
            "apiVersion": f"authorization.k8s.io/{version}",
            "kind": "SubjectAccessReview",
            "spec": {
                "resourceAttributes": {**attributes, "version": "v1", "name": self.node},
                "user": user.name,
                "groups" if since(17) else "group": list(user.groups),
            },
        }
        path = f"/apis/authorization.k8s.io/{version}/subjectaccessreviews"
        status = self.api.request("POST", path, review).get("status") if self.api else None
        return isinstance(status, dict) and bool(status.get("allowed"))
