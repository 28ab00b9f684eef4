"""Failures of requests: Status objects with the words of k8s.io/apimachinery/pkg/api/errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.go import quote

if TYPE_CHECKING:
    from hollow_apiserver.kinds import Kind


class RequestFailure(Exception):
    """A request that fails with a Status object."""

    plain = False
    """Whether the answer is a text: in 1.7 that what is not allowed is."""

    def __init__(
        self, code: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details

    def status(self) -> dict[str, Any]:
        """Return the Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def details(kind: Kind, name: str, **more: Any) -> dict[str, Any]:
    """Return the details of a Status about one object."""
    found: dict[str, Any] = {}
    if name:
        found["name"] = name
    if kind.group:
        found["group"] = kind.group
    found["kind"] = kind.plural
    return {**found, **more}


def not_found(kind: Kind, name: str) -> RequestFailure:
    """Return the failure of a request for an object that is not there."""
    text = f"{kind.qualified} {quote(name)} not found"
    return RequestFailure(404, "NotFound", text, details(kind, name))


def no_such_path() -> RequestFailure:
    """Return the failure of a request for a resource that the server does not have."""
    text = "the server could not find the requested resource"
    return RequestFailure(404, "NotFound", text, {})


def already_exists(kind: Kind, name: str) -> RequestFailure:
    """Return the failure to create an object that is there."""
    text = f"{kind.qualified} {quote(name)} already exists"
    return RequestFailure(409, "AlreadyExists", text, details(kind, name))


OUTDATED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(kind: Kind, name: str, problem: str = OUTDATED) -> RequestFailure:
    """Return the failure to change an object that someone else changed."""
    text = f"Operation cannot be fulfilled on {kind.qualified} {quote(name)}: {problem}"
    return RequestFailure(409, "Conflict", text, details(kind, name))


def forbidden(qualified: str, name: str, problem: str, group: str = "") -> RequestFailure:
    """Return the failure of a request that its user may not make."""
    shown = f"{qualified} {quote(name)} is" if name else f"{qualified} is" if qualified else ""
    text = f"{shown} forbidden: {problem}".strip() if shown else f"forbidden: {problem}"
    found = {"name": name} if name else {}
    found |= {"group": group} if group else {}
    found |= {"kind": qualified.partition(".")[0]} if qualified else {}
    return RequestFailure(403, "Forbidden", text, found)


def refused(kind: Kind, name: str, problem: str) -> RequestFailure:
    """Return the failure of a request that admission refuses."""
    return forbidden(kind.qualified, name, problem, kind.group)


def unauthorized() -> RequestFailure:
    """Return the failure of a request of an unknown client."""
    return RequestFailure(401, "Unauthorized", "Unauthorized")


def bad_request(text: str) -> RequestFailure:
    """Return the failure of a request that cannot be understood."""
    return RequestFailure(400, "BadRequest", text)


def invalid(kind: Kind, name: str, *causes: tuple[str, str, str]) -> RequestFailure:
    """Return the failure of an object that is not valid; a cause is field, reason, message."""
    shown = list(dict.fromkeys(f"{field}: {message}" for field, _, message in causes))
    problems = shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    found: dict[str, Any] = {"name": name} if name else {}
    found |= {"group": kind.group} if kind.group else {}
    found |= {"kind": kind.kind}
    found["causes"] = [
        {"reason": reason, "message": message, "field": field} for field, reason, message in causes
    ]
    return RequestFailure(
        422, "Invalid", f"{qualified} {quote(name)} is invalid: {problems}", found
    )


def precondition(kind: Kind, name: str, what: str, wanted: str, found: str) -> RequestFailure:
    """Return the failure of a request for another state of an object than it is in."""
    end = "deleted and then recreated" if what == "UID" else "modified"
    problem = f"the {what} in the precondition ({wanted}) does not match the {what} in record"
    text = f"Operation cannot be fulfilled on {kind.kind} {quote(name)}: {problem} ({found})."
    about = {**details(kind, name), "kind": kind.kind}
    return RequestFailure(409, "Conflict", f"{text} The object might have been {end}", about)


def plain_failure(text: str) -> RequestFailure:
    """Return a failure that the real server gives no reason for."""
    return RequestFailure(500, "", text)


def expired(oldest: int, asked: int) -> RequestFailure:
    """Return the failure of a watch whose beginning is no longer known."""
    text = f"too old resource version: {asked} ({oldest})"
    return RequestFailure(410, "Expired", text)


def method_not_allowed() -> RequestFailure:
    """Return the failure of a verb that a resource does not have."""
    text = "the server does not allow this method on the requested resource"
    return RequestFailure(405, "MethodNotAllowed", text, {})


def unsupported_media(accepted: str) -> RequestFailure:
    """Return the failure of a body in a format that the server does not read."""
    text = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{accepted}"
    )
    return RequestFailure(415, "UnsupportedMediaType", text)


def internal(problem: str) -> RequestFailure:
    """Return the failure of the server itself."""
    found = {"causes": [{"message": problem}]}
    return RequestFailure(500, "InternalError", f"Internal error occurred: {problem}", found)
