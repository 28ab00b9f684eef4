"""Requests to the API server with the kubelet's own certificate."""

from __future__ import annotations

import json
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from .credentials import describe

_SECONDS = 10


def as_node(
    unit: str, kubeconfig: str, requests: list[dict[str, Any]], timeout_factor: float
) -> list[dict[str, Any]]:
    """Return status and message of each answer; status 0 is none, with the reason.

    A request has a method, a path and a document, which is merged into the object at the path.
    """
    clients: list[Any] = []
    found = describe(kubeconfig, "/", clients)
    if not clients:
        reason = found.get("problem") or found.get("choice") or found.get("key") or "no certificate"
        return [{"status": 0, "message": reason} for _ in requests]
    server = urlsplit(found["server"])
    seconds = _SECONDS * timeout_factor
    return [
        _answer(server.hostname or "", server.port or 443, clients[0], seconds, one)
        for one in requests
    ]


def _answer(
    host: str, port: int, client: Any, seconds: float, request: dict[str, Any]
) -> dict[str, Any]:
    connection = HTTPSConnection(host, port, context=client, timeout=seconds)
    headers = {"Content-Type": "application/merge-patch+json", "Accept": "application/json"}
    try:
        connection.request(
            request["method"], request["path"], json.dumps(request["document"]), headers
        )
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        return {"status": 0, "message": str(error)}
    finally:
        connection.close()
    try:
        message = json.loads(content).get("message", "")
    except (ValueError, AttributeError):
        message = ""
    return {"status": response.status, "message": message}
