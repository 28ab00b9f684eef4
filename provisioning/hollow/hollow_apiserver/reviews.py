"""Reviews: who a token is, and what a user may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import quote, timestamp

from hollow_apiserver.answers import Answer, json_answer
from hollow_apiserver.authentication import Authentication, to_json, user_from_review
from hollow_apiserver.bodies import parse
from hollow_apiserver.failures import RequestFailure, bad_request
from hollow_apiserver.kinds import Review, group_version
from hollow_apiserver.rbac import Attributes

if TYPE_CHECKING:
    from hollow_apiserver.authorization import Authorization
    from hollow_apiserver.requests import Request, User


class Reviews:
    """Answers reviews; none of them is stored."""

    def __init__(self, authentication: Authentication, authorization: Authorization) -> None:
        self.authentication = authentication
        self.authorization = authorization

    def answer(self, review: Review, request: Request) -> Answer:
        """Answer a review."""
        given = parse(request.body)
        if not isinstance(given, dict):
            raise bad_request("the object provided is unrecognized: it is no object")
        metadata: dict[str, Any] = {"creationTimestamp": None}
        spec = given.get("spec") or {}
        if review.kind == "TokenReview":
            status = self.token(spec)
        elif review.kind == "SelfSubjectReview":
            metadata = {"creationTimestamp": timestamp()}
            status = {"userInfo": to_json(request.user)}
        elif review.kind == "SelfSubjectRulesReview":
            rbac = self.authorization.rbac
            status = rbac.rules_of(request.user, str(spec.get("namespace") or ""))
        else:
            own = review.kind == "SelfSubjectAccessReview"
            status = self.access(spec, request.user if own else user_from_review(spec))
        answered = {
            "kind": review.kind,
            "apiVersion": group_version(review.group, request.version),
            "metadata": metadata,
        }
        if review.kind != "SelfSubjectReview":
            answered["spec"] = spec
        return json_answer({**answered, "status": status}, 201)

    def token(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Return whose a token is."""
        user = self.authentication.by_token(str(spec.get("token") or ""))
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": to_json(user)}

    def access(self, spec: dict[str, Any], user: User) -> dict[str, Any]:
        """Return whether a user may do something."""
        resource = spec.get("resourceAttributes")
        path = spec.get("nonResourceAttributes")
        if bool(resource) == bool(path):
            problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            field, value = "spec.resourceAttributes", "null" if since(34) else quote("null")
            problem = f"Invalid value: {value}: {problem}"
            cause = {"reason": "FieldValueInvalid", "message": problem, "field": field}
            about = {"group": "authorization.k8s.io", "causes": [cause]}
            text = f'.authorization.k8s.io "" is invalid: {field}: {problem}'
            raise RequestFailure(422, "Invalid", text, about)
        if resource:
            asked = Attributes(
                user, str(resource.get("verb") or ""), str(resource.get("group") or ""),
                str(resource.get("resource") or ""), str(resource.get("subresource") or ""),
                str(resource.get("namespace") or ""), str(resource.get("name") or ""),
            )  # fmt: skip
        else:
            path = dict(path or {})
            verb, where = str(path.get("verb") or ""), str(path.get("path") or "")
            asked = Attributes(user, verb, path=where)
        allowed, reason = self.authorization.decide(asked)
        status: dict[str, Any] = {"allowed": allowed}
        return {**status, "reason": reason} if reason else status
