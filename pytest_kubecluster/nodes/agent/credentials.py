"""The kubeconfig that a kubelet uses: its content, and whether its key fits its certificate."""

from __future__ import annotations

import base64
import os
from typing import Any

from .documents import DocumentError, certificates, cut_all, mapping, redacted
from .system import CUT, Unreadable, ownership, read, without_user_info


def describe(path: str, root: str, clients: list[Any]) -> dict[str, Any]:
    """Return a kubeconfig without its secrets, and what its current context leads to.

    The client that its certificate and key make is appended to ``clients``.
    """
    try:
        document = mapping(read(path, root))
    except FileNotFoundError:
        return {"path": path, "problem": "it does not exist", "missing": True}
    except (DocumentError, Unreadable) as error:
        return {"path": path, "problem": str(error)}
    folder = os.path.dirname(path)
    found: dict[str, Any] = {"path": path, "document": _shown(document), "files": {}}
    try:
        cluster, user, names = _current(document)
    except DocumentError as error:
        return {**found, "choice": str(error)}
    found.update(names)
    found["server"] = without_user_info(str(cluster.get("server") or ""))
    found["insecure"] = cluster.get("insecure-skip-tls-verify") is True
    found["authority"] = _pem(cluster, "certificate-authority", folder, root, found["files"])
    found.update(_user(user, folder, root, found["files"], clients))
    return found


def token_of(path: str) -> str:
    """Return the token of a kubeconfig's user, for this process alone; empty without one."""
    try:
        _, user, _ = _current(mapping(read(path, "/")))
        if file := user.get("tokenFile"):
            return read(os.path.join(os.path.dirname(path), str(file)), "/").decode().strip()
    except (OSError, DocumentError, Unreadable, UnicodeDecodeError):
        return ""
    return str(user.get("token") or "")


def _current(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return the cluster and the user of the current context, and the three names."""
    context = str(document.get("current-context") or "")
    who = f"current-context is {context!r}" if context else "it has no current-context"
    chosen = _named(document, "context", context, who)
    names = {"context": context, "cluster": str(chosen.get("cluster") or "")}
    names["user"] = str(chosen.get("user") or "")
    where = f"context {context!r} names " if context else "its context names "
    cluster = _named(document, "cluster", names["cluster"], f"{where}cluster {names['cluster']!r}")
    user = _named(document, "user", names["user"], f"{where}user {names['user']!r}")
    return cluster, user, names


def _named(document: dict[str, Any], kind: str, name: str, who: str) -> dict[str, Any]:
    entries = document.get(f"{kind}s")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and str(entry.get("name") or "") == name:
            body = entry.get(kind)
            return body if isinstance(body, dict) else {}
    missing = ", which it does not have" if name else f", and no {kind} without a name"
    raise DocumentError(who + missing)


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without secrets, with embedded certificates and nothing else of a PEM."""
    shown: dict[str, Any] = redacted(document)
    for kind in ("clusters", "users"):
        for entry in shown.get(kind) or []:
            body = entry.get(kind[:-1]) if isinstance(entry, dict) else None
            if not isinstance(body, dict):
                continue
            if "auth-provider" in body:
                body["auth-provider"] = cut_all(body["auth-provider"])
            arguments = body.get("exec") if isinstance(body.get("exec"), dict) else {}
            if isinstance(arguments, dict) and isinstance(arguments.get("args"), list):
                arguments["args"] = _arguments(arguments["args"])
    return shown


def _arguments(words: list[Any]) -> list[Any]:
    """Return a plugin's arguments without what follows an option that takes a secret."""
    shown: list[Any] = []
    secret = False
    for word in words:
        name, equals, _ = str(word).partition("=")
        is_secret = any(part in name.lower() for part in ("token", "secret", "password"))
        is_option = name.startswith("-") and is_secret
        shown.append(CUT if secret else f"{name}={CUT}" if is_option and equals else word)
        secret = is_option and not equals
    return shown


def _user(
    user: dict[str, Any], folder: str, root: str, files: dict[str, Any], clients: list[Any]
) -> dict[str, Any]:
    """Return how the kubelet identifies itself: by certificate, token, exec plugin, password."""
    certificate = _bytes(user, "client-certificate", folder, root, files)
    key = _bytes(user, "client-key", folder, root, files, secret=True)
    if certificate is None and key is None:
        others = {"exec": "exec plugin", "token": "token", "tokenFile": "token file"}
        others |= {"auth-provider": "auth provider", "username": "user name and password"}
        kind = next((text for name, text in others.items() if user.get(name)), "nothing")
        if isinstance(user.get("tokenFile"), str):
            path = os.path.join(folder, user["tokenFile"])
            files[path] = {**(ownership(path, root) or {}), "secret": True}
        return {"kind": kind, "certificates": [], "key": ""}
    for name, part in (("client-certificate", certificate), ("client-key", key)):
        if not isinstance(part, bytes):
            return {
                "kind": "certificate",
                "certificates": certificates((certificate or b"").decode("utf-8", "replace"))
                if isinstance(certificate, bytes)
                else [],
                "key": part or f"user has no {name} and no {name}-data",
            }
    assert isinstance(certificate, bytes)
    assert isinstance(key, bytes)
    chain = certificates(certificate.decode("utf-8", "replace"))
    reason = _client("".join(chain).encode() + b"\n" + key, clients)
    return {"kind": "certificate", "certificates": chain, "key": reason or "matches"}


def _bytes(
    entry: dict[str, Any],
    name: str,
    folder: str,
    root: str,
    files: dict[str, Any],
    *,
    secret: bool = False,
) -> bytes | str | None:
    """Return what ``NAME-data`` or the file ``NAME`` has, a reason, or None if neither is set.

    As in client-go, data come before the file.
    """
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode("".join(str(data).split()), validate=True)
        except ValueError:
            return f"{name}-data is not base64"
    if path := entry.get(name):
        path = os.path.join(folder, str(path))
        found = ownership(path, root)
        files[path] = {**(found or {}), "secret": secret or path in files}
        try:
            return read(path, root)
        except FileNotFoundError:
            return f"{path} does not exist"
        except Unreadable as error:
            return str(error)
    return None


def _pem(
    entry: dict[str, Any], name: str, folder: str, root: str, files: dict[str, Any]
) -> dict[str, Any]:
    content = _bytes(entry, name, folder, root, files)
    if not isinstance(content, bytes):
        return {"certificates": [], "problem": content or ""}
    found = certificates(content.decode("utf-8", "replace"))
    return {"certificates": found, "problem": "" if found else f"{name} has no certificate"}


def _client(pem: bytes, clients: list[Any]) -> str:
    """Append a TLS client with a certificate and its key, or return why that is impossible."""
    import ssl

    from .ports import without_verification

    context = without_verification()
    handle = os.memfd_create("pem")
    try:
        os.write(handle, pem)
        # A key with a passphrase must not be asked for on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{handle}", password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not its certificate's"
        return f"certificate and key cannot be used: {error.reason or error}"
    except (ValueError, OSError) as error:
        return str(error)
    finally:
        os.close(handle)
    clients.append(context)
    return ""
