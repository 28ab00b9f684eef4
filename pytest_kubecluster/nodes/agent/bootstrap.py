"""Whether an API server accepts the token of a bootstrap kubeconfig, which stays on the node."""

from __future__ import annotations

import ssl
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from .credentials import describe, token_of

_SECONDS = 10
_PATH = "/api"


def bootstrap(unit: str, kubeconfig: str, timeout_factor: float) -> dict[str, Any]:
    """Return the status of an answer to the token; status 0 is none, with the reason."""
    found = describe(kubeconfig, "/", [])
    token = token_of(kubeconfig)
    if not token:
        reason = found.get("problem") or found.get("choice") or "it has no token"
        return {"status": 0, "message": reason}
    server, trusted = urlsplit(found["server"]), found["authority"]["certificates"]
    connection = None
    try:
        context = ssl.create_default_context(cadata="".join(trusted) or None)
        connection = HTTPSConnection(
            server.hostname or "",
            server.port or 443,
            context=context,
            timeout=_SECONDS * timeout_factor,
        )
        connection.request("GET", _PATH, headers={"Authorization": f"Bearer {token}"})
        return {"status": connection.getresponse().status, "message": ""}
    except (OSError, HTTPException, ValueError) as error:
        return {"status": 0, "message": str(error)}
    finally:
        if connection is not None:
            connection.close()
