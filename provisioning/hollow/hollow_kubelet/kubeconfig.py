"""Kubeconfigs: the server and the credentials that the current context selects."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import GO_TYPES, aggregate, errno_text, quote, read_file
from hollow_common.yaml_reader import YamlError, load_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    Entries = dict[str, dict[str, Any]]

NO_CONFIGURATION = "no configuration has been provided"
NO_CONFIGURATION_HINT = ", try setting KUBERNETES_MASTER environment variable"
NO_SERVER = "cluster has no server defined"
CLUSTER_FIELDS = {
    "server": str,
    "insecure-skip-tls-verify": bool,
    "certificate-authority": str,
    "certificate-authority-data": bytes,
    "tls-server-name": str,
}
USER_FIELDS = {
    "client-certificate": str,
    "client-certificate-data": bytes,
    "client-key": str,
    "client-key-data": bytes,
    "token": str,
    "tokenFile": str,
    "username": str,
    "password": str,
    "exec": dict,
}
CONTEXT_FIELDS = {"cluster": str, "user": str, "namespace": str}
GO_NAMES = {
    "context": ("NamedContext", "Context"),
    "cluster": ("NamedCluster", "Cluster"),
    "user": ("NamedAuthInfo", "AuthInfo"),
}


class ClientConfig(NamedTuple):
    """Server and credentials that a kubeconfig's current context selects."""

    server: str
    insecure: bool = False
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    username: str = ""
    password: str = ""
    server_name: str = ""
    plugin: Mapping[str, Any] = {}
    watched: bool = False
    """Whether the certificate is in a file, which clients from 1.18 on read again and again."""


def client_config(path: str, server: str = "") -> ClientConfig:
    """Read a kubeconfig; ``server`` overrides its cluster's.

    The Failure is worded as the error of client-go/tools/clientcmd. Without current-context the
    context with the empty name counts.
    """
    chosen, contexts, clusters, users = read_kubeconfig(path) if path else ("", {}, {}, {})
    base = os.path.dirname(os.path.abspath(path))
    context = contexts.get(chosen, empty(CONTEXT_FIELDS))
    user = absolute(users.get(context["user"], empty(USER_FIELDS)), base)
    cluster = absolute(clusters.get(context["cluster"], empty(CLUSTER_FIELDS)), base)
    exists = context["cluster"] in clusters or bool(server)
    cluster["server"] = server or cluster["server"]

    problems = []
    if chosen and chosen not in contexts:
        problems.append(f"context was not found for specified context: {chosen}")
    problems += user_problems(context["user"], user)
    problems += cluster_problems(context["cluster"], cluster) if exists else [NO_SERVER]
    if problems == [NO_SERVER]:
        problems = [NO_CONFIGURATION + (NO_CONFIGURATION_HINT if since(18) else "")]
    if problems:
        raise Failure(f"invalid configuration: {aggregate(problems)}")
    if not is_secure(cluster["server"]):
        return ClientConfig(cluster["server"])
    return ClientConfig(
        server=cluster["server"],
        insecure=cluster["insecure-skip-tls-verify"],
        ca=content(cluster, "certificate-authority"),
        certificate=content(user, "client-certificate"),
        key=content(user, "client-key"),
        token=user["token"] or token_in(user["tokenFile"]),
        username=user["username"],
        password=user["password"],
        server_name=cluster["tls-server-name"],
        plugin=user["exec"],
        watched=bool(user["client-certificate"] and not user["client-certificate-data"]),
    )


def token_in(path: str) -> str:
    """Return the token in a file, or an empty text without a path."""
    return read_file(path).decode(errors="replace").strip() if path else ""


def read_kubeconfig(path: str) -> tuple[str, Entries, Entries, Entries]:
    """Return a kubeconfig's current-context, contexts, clusters and users."""
    try:
        os.stat(path)
    except FileNotFoundError as error:
        raise Failure(f"stat {path}: {errno_text(error)}") from None
    except OSError:
        pass  # reading it says what is wrong
    try:
        config = load_yaml(read_file(path)) or {}
        if not isinstance(config, dict):
            raise Failure(
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{GO_TYPES.get(type(config), 'number')} into Go value of type struct "
                r'{ APIVersion string "json:\"apiVersion,omitempty\""; '
                r'Kind string "json:\"kind,omitempty\"" }'
            )
        kind, version = config.get("kind") or "Config", config.get("apiVersion") or "v1"
        if (kind, version) != ("Config", "v1"):
            raise Failure(f'no kind "{kind}" is registered for version "{version}"')
        return (
            str(config.get("current-context") or ""),
            named(config, "contexts", "context", CONTEXT_FIELDS),
            named(config, "clusters", "cluster", CLUSTER_FIELDS),
            named(config, "users", "user", USER_FIELDS),
        )
    except (Failure, YamlError) as error:
        word = "error" if since(16) else "Error"
        raise Failure(f'{word} loading config file "{path}": {error}') from None


def named(
    config: dict[str, Any], plural: str, singular: str, fields: Mapping[str, type]
) -> Entries:
    """Return a kubeconfig's list of named entries by name.

    Of two with the same name the last one counts; from 1.11 on they are an error.
    """
    entries = config.get(plural) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Failure(f"only encoded map or array can be decoded into a slice: {plural}")
    found: Entries = {}
    for entry in entries:
        name = str(entry.get("name") or "")
        if name in found and since(11):
            slice_of, kind = GO_NAMES[singular]
            raise Failure(
                f"error converting *[]{slice_of} into *map[string]*api.{kind}: "
                f"duplicate name {quote(name)} in list"
            )
        found[name] = typed(entry.get(singular) or {}, singular, fields)
    return found


def empty(fields: Mapping[str, type]) -> dict[str, Any]:
    """Return every field with its zero value."""
    return {name: kind() for name, kind in fields.items()}


def typed(entry: Any, what: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return an entry's known fields, each of its type; no value is ever printed."""
    if not isinstance(entry, dict):
        raise Failure(f"json: cannot unmarshal {what} into Go value of type struct")
    values = empty(fields)
    for name, kind in fields.items():
        value = entry.get(name)
        if value is None:
            continue
        if not isinstance(value, kind if kind in (bool, dict) else str):
            found = GO_TYPES.get(type(value), "number")
            raise Failure(f"json: cannot unmarshal {found} into Go value of {what}.{name}")
        values[name] = decoded(str(value), name) if kind is bytes else value
    return values


def decoded(text: str, name: str) -> bytes:
    """Decode a field in base64."""
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except binascii.Error:
        raise Failure(f"json: error decoding base64 binary of {name}: illegal data") from None


def absolute(entry: dict[str, Any], base: str) -> dict[str, Any]:
    """Return an entry with the paths in it resolved against the kubeconfig's folder."""
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {
        name: os.path.join(base, value) if value and name in paths else value
        for name, value in entry.items()
    }


def user_problems(name: str, user: dict[str, Any]) -> list[str]:
    """Return the problems that validateAuthInfo finds (clientcmd/validation.go)."""
    certificate, key = user["client-certificate"], user["client-key"]
    problems = []
    if certificate or user["client-certificate-data"]:
        if certificate and user["client-certificate-data"]:
            problems.append(
                f"client-cert-data and client-cert are both specified for {name}. "
                "client-cert-data will override."
            )
        if key and user["client-key-data"]:
            problems.append(
                f"client-key-data and client-key are both specified for {name}; "
                "client-key-data will override"
            )
        if not key and not user["client-key-data"]:
            problems.append(
                f"client-key-data or client-key must be specified for {name} "
                "to use the clientCert authentication method."
            )
        problems += unreadable("client-cert", certificate, name)
        problems += unreadable("client-key", key, name)
    problems += plugin_problems(name, user)
    if user["token"] and (user["username"] or user["password"]):
        problems.append(
            f"more than one authentication method found for {name}; "
            "found [token basicAuth], only one is allowed"
        )
    return problems


def plugin_problems(name: str, user: dict[str, Any]) -> list[str]:
    """Return the problems that validateAuthInfo finds with an exec plugin, from 1.10 on."""
    plugin = user["exec"]
    if not plugin or not since(10):
        return []
    problems = []
    if not plugin.get("command"):
        problems.append(f"command must be specified for {name} to use exec authentication plugin")
    if not plugin.get("apiVersion"):
        problems.append(
            f"apiVersion must be specified for {name} to use exec authentication plugin"
        )
    older = str(plugin.get("apiVersion")).endswith(("/v1alpha1", "/v1beta1"))
    if since(22) and not older and not plugin.get("interactiveMode"):
        problems.append(
            f"interactiveMode must be specified for {name} to use exec authentication plugin"
        )
    return problems


def cluster_problems(name: str, cluster: dict[str, Any]) -> list[str]:
    """Return the problems that validateClusterInfo finds (clientcmd/validation.go)."""
    problems = []
    if not cluster["server"]:
        problems.append(
            f"no server found for cluster {quote(name)}"
            if name
            else "default cluster has no server defined"
        )
    if cluster["certificate-authority"] and cluster["certificate-authority-data"]:
        problems.append(
            f"certificate-authority-data and certificate-authority are both specified for {name}. "
            "certificate-authority-data will override."
        )
    return problems + unreadable("certificate-authority", cluster["certificate-authority"], name)


def unreadable(what: str, path: str, name: str) -> list[str]:
    """Return the problem with a file that a kubeconfig names, if any."""
    try:
        if path:
            open(path, "rb").close()
    except OSError as error:
        problem = f"open {path}: {errno_text(error)}"
        return [f"unable to read {what} {path} for {name} due to {problem}"]
    return []


def content(entry: dict[str, Any], name: str) -> bytes:
    """Return the content of a field's -data form or of the file it names."""
    data: bytes = entry[f"{name}-data"]
    return data or (read_file(entry[name]) if entry[name] else b"")


def is_secure(server: str) -> bool:
    """Return whether the connection to a server is encrypted, and may carry secrets."""
    try:
        return server_url(server).startswith("https:")
    except Failure:
        return False  # connecting says what is wrong


def server_url(server: str) -> str:
    """Return the URL that a kubeconfig's server stands for (client-go/rest/url_utils.go)."""
    try:
        parts = urlsplit(server)
        _ = parts.port, urlsplit(f"http://{server}").port
    except ValueError as error:
        raise Failure(f"parse {quote(server)}: {error}") from None
    if escape := re.search("%(?![0-9A-Fa-f]{2}).{0,2}", parts.path):
        problem = f"invalid URL escape {quote(escape[0])}"
        raise Failure(f"parse {quote(f'http://{server}')}: {problem}")
    if parts.scheme and parts.netloc and not re.search(r"[\s{}]", parts.netloc):
        return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    if urlsplit("http://" + server).path not in ("", "/"):
        raise Failure(f"host must be a URL or a host:port pair: {quote(server)}")
    return "http://" + server.rstrip("/")
