"""Requests: what a path and a method ask for (k8s.io/apiserver/pkg/endpoints/request)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
READING = {"GET": "get", "HEAD": "get"}


@dataclass(frozen=True)
class User:
    """Who makes a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def node(self) -> str:
        """The name of the node that the user is, or an empty text."""
        prefix = "system:node:"
        if "system:nodes" in self.groups and self.name.startswith(prefix):
            return self.name[len(prefix) :]
        return ""


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True)
class Request:
    """A request, taken apart; what is not about a resource has the verb of its method."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    user: User
    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    def option(self, name: str) -> str:
        """Return a parameter of the query, or an empty text."""
        return self.query.get(name, [""])[0]

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is set."""
        return name in self.query and self.option(name).lower() not in ("0", "false")


def read_request(
    method: str, target: str, headers: Mapping[str, str], body: bytes, user: User
) -> Request:
    """Take a request apart."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    words = [unquote(word) for word in parts.path.strip("/").split("/")]
    path = unquote(parts.path)
    plain = Request(method, path, query, headers, body, user, method.lower())
    core = words[0] == "api" and len(words) >= 3
    if not core and not (words[0] == "apis" and len(words) >= 4):
        return plain
    group, version, rest = ("", words[1], words[2:]) if core else (words[1], words[2], words[3:])
    namespace = ""
    watched = rest[0] == "watch" and len(rest) > 1
    if watched:
        rest = rest[1:]
    if rest[0] == "namespaces" and len(rest) >= 2:
        namespace = rest[1]
        if len(rest) >= 3 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    verb = VERBS.get(method) or READING.get(method, method.lower())
    if verb == "get" and not name:
        verb = "list"
    if verb == "list" and "watch" in query and query["watch"][0].lower() not in ("0", "false"):
        verb = "watch"
    if watched:
        verb = "watch"
    if verb == "delete" and not name:
        verb = "deletecollection"
    if verb in ("list", "watch", "deletecollection") and not name:
        name = one_name(query)
    return Request(
        method, path, query, headers, body, user, verb, group, version, namespace, resource, name,
        subresource, "/".join(rest[3:]),
    )  # fmt: skip


def one_name(query: Mapping[str, list[str]]) -> str:
    """Return the name of the one object that a field selector asks for."""
    for term in query.get("fieldSelector", [""])[0].split(","):
        found, equals, value = term.partition("=")
        if found == "metadata.name" and equals:
            return value.lstrip("=")
    return ""
