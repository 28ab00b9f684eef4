"""The API server of a cluster, asked with a kubeconfig.

Kubeconfigs of users are read by the official client, which knows all they may hold: plugins,
proxies, server names. It is imported when it is first used, and takes most of a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
import yaml
from cryptography import x509

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.kubeconfig import prepared, unusable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_TIMEOUT = urllib3.Timeout(connect=3.0, read=10.0)
_RESOURCE = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/))?/(?P<kind>[a-z]+)"
    r"(?P<name>/[^/?]+)?(?P<part>/[a-z]+)?"
)
_ERRNO = re.compile(r"\[Errno -?\d+\] ")
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_MERGE, _JSON = "application/merge-patch+json", "application/json"
_CLOCKS = 60.0
"""How many seconds two clocks may be apart."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409


class ApiError(KubeClusterError):
    """An answer of an API server that is not a success; ``status`` is its HTTP status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

    @property
    def not_found(self) -> bool:
        """Whether there is no such object."""
        return self.status == _NOT_FOUND

    @property
    def exists(self) -> bool:
        """Whether there is such an object already."""
        return self.status == _CONFLICT


@dataclass(frozen=True)
class Answered:
    """A successful answer of an API server."""

    content: bytes = field(repr=False)
    time: datetime | None = None
    """The time by the clock of the server."""

    def json(self) -> Any:
        """Return the JSON document. Raises KubeClusterError for anything else."""
        try:
            return json.loads(self.content)
        except ValueError:
            start = self.content[:80].decode(errors="replace")
            raise KubeClusterError(f"the API server did not answer in JSON: {start!r}") from None


@dataclass(frozen=True)
class _Way:
    """How a server is reached: its URL, a pool of connections, and who asks."""

    url: str
    pool: urllib3.PoolManager
    headers: Mapping[str, str] = field(repr=False)
    certificate: str = ""
    """The path of the client certificate."""


@dataclass(frozen=True)
class ApiServer:
    """An API server, as a context of a kubeconfig names it."""

    kubeconfig: Path
    context: str | None = None
    """The name of the context; None for the current one."""
    ours: bool = False
    """Whether this project wrote the kubeconfig, and no proxy is used."""

    @cached_property
    def client(self) -> ApiClient:
        """A client of the official library. Raises KubeClusterError."""
        from kubernetes.config import new_client_from_config_dict

        with unusable(self.kubeconfig):
            document = prepared(self.kubeconfig)
            client: ApiClient = new_client_from_config_dict(  # type: ignore[no-untyped-call]
                document, context=self.context, persist_config=False
            )
        if self.ours and client.configuration.proxy:
            from kubernetes.client.rest import RESTClientObject

            client.configuration.proxy = None
            client.rest_client = RESTClientObject(client.configuration)
        return client

    @property
    def url(self) -> str:
        """The URL of the server. Raises KubeClusterError."""
        return self._way.url

    def get(self, path: str) -> Any:
        """Return the JSON document at a path. Raises ApiError and KubeClusterError."""
        return self.ask("GET", path).json()

    def text(self, path: str) -> str:
        """Return the text at a path, such as /healthz. Raises ApiError and KubeClusterError."""
        return self.ask("GET", path).content.decode(errors="replace")

    def create(self, path: str, document: Mapping[str, Any]) -> Any:
        """Create an object in the collection at a path. Raises ApiError and KubeClusterError."""
        return self.ask("POST", path, document).json()

    def patch(self, path: str, document: Mapping[str, Any]) -> Any:
        """Merge a document into the object at a path. Raises ApiError and KubeClusterError."""
        return self.ask("PATCH", path, document, _MERGE).json()

    def delete(self, path: str) -> None:
        """Delete the object at a path. Raises ApiError and KubeClusterError."""
        self.ask("DELETE", path)

    def ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> Answered:
        """Send a request and return its answer. Raises ApiError and KubeClusterError."""
        way = self._way
        headers = dict(way.headers)
        body = None
        if document is not None:
            headers["Content-Type"], body = content_type, json.dumps(document)
        try:
            answer = way.pool.request(
                method, way.url + path, body=body, headers=headers, timeout=_TIMEOUT, retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise KubeClusterError(self._unreachable(error)) from None
        if 200 <= answer.status < 300:
            return Answered(answer.data, _server_time(answer.headers.get("Date")))
        refused = self._refused(method, path, answer.status, answer.data)
        if answer.status == _UNAUTHORIZED:
            refused += _clocks_apart(_server_time(answer.headers.get("Date")))
        raise ApiError(refused, answer.status)

    @cached_property
    def _way(self) -> _Way:
        return self._own_way() if self.ours else self._their_way()

    def _own_way(self) -> _Way:
        with unusable(self.kubeconfig):
            document = yaml.safe_load(self.kubeconfig.read_text())
            wanted = self.context or document["current-context"]
            cluster = next(c["cluster"] for c in document["clusters"] if c["name"] == wanted)
            user = document["users"][0]["user"]
            pool = urllib3.PoolManager(
                ca_certs=cluster["certificate-authority"],
                cert_file=user["client-certificate"],
                key_file=user["client-key"],
            )
            return _Way(cluster["server"], pool, {"Accept": _JSON}, user["client-certificate"])

    def _their_way(self) -> _Way:
        client = self.client
        configuration = client.configuration
        headers = {"Accept": _JSON}
        for setting in configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        pool: urllib3.PoolManager = client.rest_client.pool_manager
        return _Way(configuration.host.rstrip("/"), pool, headers, configuration.cert_file or "")

    def _unreachable(self, error: Exception) -> str:
        reason = getattr(error, "reason", None) or error
        text = str(reason).rpartition(": ")[2].strip("'\")") or type(reason).__name__
        if isinstance(reason, urllib3.exceptions.SSLError):
            text = str(reason)
        elif isinstance(reason, urllib3.exceptions.NewConnectionError):
            # Refused, or the name is unknown; it is a time-out by its class alone.
            text = last_words(reason)
        elif isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
            text = "no connection within 3 s"
        elif isinstance(reason, urllib3.exceptions.ReadTimeoutError):
            text = "no answer within 10 s"
        return self._expired() or (
            f"the API server {self.url} of {self.kubeconfig} does not answer: {text}"
        )

    def _refused(self, method: str, path: str, status: int, content: bytes) -> str:
        message = content[:200].decode(errors="replace").strip()
        with suppress(ValueError, AttributeError):
            message = json.loads(content).get("message") or message
        what = _action(method, path)
        if status == _UNAUTHORIZED:
            return self._expired() or (
                f"the API server {self.url} does not accept the credentials of {self.kubeconfig} "
                "(401 Unauthorized): they may have expired; get a new kubeconfig"
            )
        if status == _FORBIDDEN:
            return f"the user of {self.kubeconfig} may not {what} ({path}): {message}"
        return f"the API server {self.url} did not {what} ({path}): {status} {message}"

    def _expired(self) -> str:
        """Say since when the client certificate has expired; return an empty text if it has not."""
        with suppress(OSError, ValueError):
            content = Path(self._way.certificate or "/dev/null").read_bytes()
            ended = x509.load_pem_x509_certificate(content).not_valid_after_utc
            if ended < datetime.now(timezone.utc):
                return (
                    f"the client certificate of {self.kubeconfig} expired on {ended:%Y-%m-%d}; "
                    "get a new kubeconfig"
                )
        return ""


def last_words(error: BaseException) -> str:
    """Return what the text of a network's error ends with, without the number of the error."""
    return _ERRNO.sub("", str(error).rpartition(": ")[2])


def _action(method: str, path: str) -> str:
    """Return what a request does in the words of a role: ``list nodes``, ``get nodes/proxy``."""
    found = _RESOURCE.match(path)
    if found is None:
        return f"{_VERBS[method]} {path}"
    verb = "list" if method == "GET" and not found["name"] else _VERBS[method]
    return f"{verb} {found['kind']}{found['part'] or ''}"


def _clocks_apart(server: datetime | None) -> str:
    """Return by how much the server's clock is off, as the end of a sentence, if it is."""
    ahead = (server - datetime.now(timezone.utc)).total_seconds() if server else 0
    if abs(ahead) < _CLOCKS:
        return ""
    where = "ahead of" if ahead > 0 else "behind"
    return f"; its clock is {abs(ahead) / 60:.0f} minutes {where} this host's"


def _server_time(text: str | None) -> datetime | None:
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(text or "")
    return None
