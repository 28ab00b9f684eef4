"""The server: authentication, authorization, and which part answers a request."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hollow_common.log import log

from hollow_apiserver import discovery
from hollow_apiserver.answers import Answer, failure_answer, json_answer, text_answer
from hollow_apiserver.authentication import impersonated
from hollow_apiserver.etcd import EtcdFailure
from hollow_apiserver.failures import RequestFailure, bad_request, internal, no_such_path
from hollow_apiserver.kinds import Review, find
from hollow_apiserver.openapi import openapi
from hollow_apiserver.protobuf import Unreadable, read
from hollow_apiserver.rbac import Attributes
from hollow_apiserver.requests import ANONYMOUS, Request, read_request

if TYPE_CHECKING:
    from hollow_common.tls import Client

    from hollow_apiserver.authentication import Authentication
    from hollow_apiserver.authorization import Authorization
    from hollow_apiserver.etcd import Etcd
    from hollow_apiserver.proxy import Proxy
    from hollow_apiserver.rest import Rest
    from hollow_apiserver.reviews import Reviews

PROTOBUF = "application/vnd.kubernetes.protobuf"
HEALTH = ("/healthz", "/livez", "/readyz")


class ApiServer:
    """Answers requests."""

    def __init__(
        self,
        etcd: Etcd,
        authentication: Authentication,
        authorization: Authorization,
        rest: Rest,
        reviews: Reviews,
        proxy: Proxy,
        address: str,
    ) -> None:
        self.etcd = etcd
        self.authentication = authentication
        self.authorization = authorization
        self.rest = rest
        self.reviews = reviews
        self.proxy = proxy
        self.address = address
        self.ready = False

    def answer(
        self, method: str, target: str, headers: Any, body: bytes, client: Client, token: str
    ) -> Answer:
        """Answer a request, whatever happens."""
        started = time.monotonic()
        try:
            answer = self.try_to_answer(method, target, headers, body, client, token)
        except RequestFailure as failure:
            answer = failure_answer(failure)
        except EtcdFailure as error:
            answer = failure_answer(internal(f"etcdserver: no member answers: {error}"))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            answer = failure_answer(self.surprise(error, body))
        if log.verbosity >= 3:
            took = (time.monotonic() - started) * 1000
            log("I", "httplog.go:90", f"{method} {target}: ({took:.1f}ms) {answer.status}")
        return answer

    @staticmethod
    def surprise(error: Exception, body: bytes) -> RequestFailure:
        """Return the failure of a request that holds what nobody expected."""
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__)[-2:])
        log("E", "wrap.go:54", f"a request could not be understood: {shown.strip()}")
        if body:
            return bad_request("the object provided is unrecognized: a field is of another type")
        return internal(f"{type(error).__name__}: {error}")

    def try_to_answer(
        self, method: str, target: str, headers: Any, body: bytes, client: Client, token: str
    ) -> Answer:
        """Answer a request, or raise its failure."""
        request = read_request(method, target, headers, body, ANONYMOUS)
        user = self.authentication.user(client, token)
        request = replace(request, user=user)
        other = impersonated(user, headers)
        if other:
            self.authorization.check(Attributes(user, "impersonate", "", "users", name=other.name))
            request = replace(request, user=other)
        self.authorization.check(attributes(request))
        if not request.resource:
            return self.about_itself(request)
        kind = find(request.group, request.version, request.resource)
        if kind is None and not discovery.resources(request.group, request.version):
            return text_answer("404 page not found\n", 404)
        if kind is None:
            raise no_such_path()
        if request.resource == "nodes" and request.subresource == "proxy":
            return self.proxy.answer(request)
        if body and PROTOBUF in headers.get("Content-Type", ""):
            request = in_json(request)
        if isinstance(kind, Review):
            return self.reviews.answer(kind, request)
        return self.rest.answer(kind, request)

    def about_itself(self, request: Request) -> Answer:
        """Answer what is not about objects."""
        path = request.path.rstrip("/") or "/"
        words = path.strip("/").split("/")
        found: dict[str, Any] | None = None
        if f"/{words[0]}" in HEALTH:
            return self.health(words[0], request)
        if path == "/version":
            return json_answer(discovery.version_info())
        if path == "/api":
            found = discovery.api_versions(self.address)
        elif words[0] == "api" and len(words) == 2:
            found = discovery.resources("", words[1])
        elif path == "/apis":
            found = discovery.api_groups()
        elif words[0] == "apis" and len(words) == 2:
            found = discovery.one_group(words[1])
        elif words[0] == "apis" and len(words) == 3:
            found = discovery.resources(words[1], words[2])
        elif path == "/openapi/v2":
            return openapi(request.headers.get("Accept", ""))
        elif path == "/":
            paths = ["/api", "/api/v1", "/apis", "/healthz", "/openapi/v2", "/version"]
            found = {"paths": paths}
        if found is None and words[0] == "api":
            raise no_such_path()
        if found is None:
            return text_answer("404 page not found\n", 404)
        return json_answer(found)

    def health(self, name: str, request: Request) -> Answer:
        """Answer whether the server works: etcd answers, and what it begins with is there."""
        checks = {"ping": "", "etcd": "", "poststarthook/start-hollow-apiserver": ""}
        try:
            self.etcd.range("health", limit=1)
        except EtcdFailure:
            checks["etcd"] = "failed: reason withheld"
        if not self.ready:
            checks["poststarthook/start-hollow-apiserver"] = "failed: not finished"
        if name == "livez":
            checks = {one: checks[one] for one in ("ping",)}
        shown = "".join(
            f"[-]{one} {problem}\n" if problem else f"[+]{one} ok\n"
            for one, problem in checks.items()
        )
        if any(checks.values()):
            return text_answer(f"{shown}{name} check failed\n", 500)
        return text_answer(f"{shown}{name} check passed\n" if request.flag("verbose") else "ok")


def in_json(request: Request) -> Request:
    """Return a request whose body is protobuf with the same in JSON."""
    try:
        body = json.dumps(read(request.body)).encode()
    except Unreadable as error:
        text = f"the object provided is unrecognized: {error}"
        raise bad_request(text) from None
    headers = {"Accept": request.headers.get("Accept", ""), "Content-Type": "application/json"}
    return replace(request, body=body, headers=headers)


def attributes(request: Request) -> Attributes:
    """Return what a request wants to do, for authorization."""
    return Attributes(
        request.user, request.verb, request.group, request.resource, request.subresource,
        request.namespace, request.name, request.path, request.option("fieldSelector"),
    )  # fmt: skip
