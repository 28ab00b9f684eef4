"""Authentication: client certificates, bootstrap tokens, service account tokens, anonymity."""

from __future__ import annotations

import base64
import calendar
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any

from hollow_common.log import log

from hollow_apiserver.failures import unauthorized
from hollow_apiserver.kinds import stored
from hollow_apiserver.requests import ANONYMOUS, User

if TYPE_CHECKING:
    from hollow_common.tls import Client

    from hollow_apiserver.storage import Storage

AUTHENTICATED = "system:authenticated"
TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
REFUSED = "Unable to authenticate the request due to an error"
BOOTSTRAPPERS = "system:bootstrappers"
GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class Authentication:
    """Finds out who makes a request."""

    def __init__(self, storage: Storage, anonymous: bool, bootstrap_tokens: bool) -> None:
        self.storage = storage
        self.anonymous = anonymous
        self.bootstrap_tokens = bootstrap_tokens

    def user(self, client: Client, token: str) -> User:
        """Return the user of a request; a certificate counts before a token."""
        if client.name and not client.problem:
            return authenticated(User(client.name, client.groups))
        if client.problem:
            log("E", "authentication.go:63", f"{REFUSED}: {client.problem}")
            raise unauthorized()
        if token:
            found = self.by_token(token)
            if found is None:
                log("E", "authentication.go:63", f"{REFUSED}: invalid bearer token")
                raise unauthorized()
            return found
        if not self.anonymous:
            raise unauthorized()
        return ANONYMOUS

    def by_token(self, token: str) -> User | None:
        """Return the user of a token, or None."""
        return self.bootstrapper(token) if self.bootstrap_tokens else None

    def bootstrapper(self, token: str) -> User | None:
        """Return the user of a bootstrap token: plugin/pkg/auth/authenticator/token/bootstrap."""
        found = TOKEN.fullmatch(token)
        if not found:
            return None
        identity, secret = found.groups()
        stored_secret = self.storage.find(
            stored("secrets"), "kube-system", f"bootstrap-token-{identity}"
        )
        if not stored_secret or stored_secret.get("type") != "bootstrap.kubernetes.io/token":
            return None
        data = decoded(stored_secret)
        if not hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode()):
            return None
        if data.get("token-id") != identity or expired(data.get("expiration", "")):
            return None
        if data.get("usage-bootstrap-authentication") != "true":
            return None
        extra = [one for one in data.get("auth-extra-groups", "").split(",") if one]
        if not all(GROUP.fullmatch(one) for one in extra):
            return None
        groups = sorted({BOOTSTRAPPERS, *extra})
        return authenticated(User(f"system:bootstrap:{identity}", tuple(groups)))


def authenticated(user: User) -> User:
    """Return a user with the group of all who are known."""
    if AUTHENTICATED in user.groups or "system:unauthenticated" in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


def decoded(secret: dict[str, Any]) -> dict[str, str]:
    """Return the data of a secret as text."""
    return {
        name: base64.b64decode(value).decode(errors="replace")
        for name, value in (secret.get("data") or {}).items()
    }


def expired(text: str) -> bool:
    """Whether a time in RFC 3339 has passed; what cannot be read has."""
    if not text:
        return False
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", text
    )
    if not found:
        return True
    try:
        moment = calendar.timegm(time.strptime(found[1].upper(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return True
    if found[2]:
        offset = int(found[3]) * 3600 + int(found[4]) * 60
        moment -= offset if found[2] == "+" else -offset
    return moment <= time.time()


def user_from_review(spec: dict[str, Any]) -> User:
    """Return the user that a SubjectAccessReview asks about."""
    groups = spec.get("groups") or spec.get("group") or ()
    return User(str(spec.get("user") or ""), tuple(groups), str(spec.get("uid") or ""))


def impersonated(user: User, headers: Any) -> User | None:
    """Return the user that a request's headers name in the place of its own, if they do."""
    name = headers.get("Impersonate-User")
    if not name:
        return None
    groups = tuple(headers.get_all("Impersonate-Group") or ())
    return authenticated(User(name, groups)) if name != ANONYMOUS.name else ANONYMOUS


def to_json(user: User) -> dict[str, Any]:
    """Return a user as reviews have it."""
    found: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        found["uid"] = user.uid
    if user.extra:
        found["extra"] = json.loads(json.dumps(dict(user.extra)))
    return found
