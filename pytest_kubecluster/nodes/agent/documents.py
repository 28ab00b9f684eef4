"""YAML and JSON files of the node, parsed here so that secrets can be cut out by structure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .system import CUT, Unreadable, ownership, read, without_user_info

MOST_VALUES = 200_000
"""More than any configuration has; aliases of aliases grow without bound."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|key-data|keydata|id-token|access-key)$")
_NEVER_SECRET = frozenset({"tokenFile"})


class DocumentError(ValueError):
    """A text that is not a document; the message quotes nothing of it."""


def parse(content: bytes, *, json_by_brace: bool = False) -> Any:
    """Return a JSON or YAML document as plain values. Raises DocumentError.

    With ``json_by_brace`` a text that begins with a brace must be JSON.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError("it is not UTF-8 text") from None
    try:
        return _plain(json.loads(text), [MOST_VALUES])
    except json.JSONDecodeError as error:
        if json_by_brace and text.lstrip().startswith("{"):
            place = f" (line {error.lineno}, column {error.colno})"
            raise DocumentError(f"it cannot be parsed: {error.msg}{place}") from None
    except (ValueError, RecursionError):
        pass
    try:
        return _plain(_load(text), [MOST_VALUES])
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None


def mapping(content: bytes, *, json_by_brace: bool = False) -> dict[str, Any]:
    """Return a document that is a mapping. Raises DocumentError; an empty file is an empty one."""
    document = parse(content, json_by_brace=json_by_brace)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise DocumentError("it is not a mapping")
    return document


def _load(text: str) -> Any:
    from yaml.error import MarkedYAMLError, YAMLError
    from yaml.loader import SafeLoader

    class Loader(SafeLoader):
        """A loader that reads what go-yaml reads.

        It has no dates and no numbers to the base 60, and allows tabs as space between tokens.
        """

        def scan_to_next_token(self) -> None:
            super().scan_to_next_token()
            while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
                while self.peek() == "\t":
                    self.forward()
                super().scan_to_next_token()

    Loader.yaml_implicit_resolvers = _resolvers(SafeLoader.yaml_implicit_resolvers)

    try:
        loader = Loader(text)
        try:
            # A kubelet reads the first document of a file and nothing behind it.
            return loader.get_data()
        finally:
            loader.dispose()
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise DocumentError(
            f"it cannot be parsed: {error.problem or 'invalid YAML'}{place}"
        ) from None
    except YAMLError:
        raise DocumentError(
            "it cannot be parsed: it has characters that YAML does not allow"
        ) from None
    except (ValueError, TypeError):
        raise DocumentError("it cannot be parsed: a value is not of its type") from None


def _resolvers(usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        first: [
            (tag, _INTEGER if tag.endswith(":int") else pattern)
            for tag, pattern in resolvers
            if not tag.endswith(":timestamp")
        ]
        for first, resolvers in usual.items()
    }


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise DocumentError("it has too many values")
    if isinstance(value, dict):
        return {_key(key): _plain(item, left) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item, left) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def redacted(value: Any, name: str = "") -> Any:
    """Return a document without its secrets: values of keys named like one, and private keys."""
    if isinstance(value, dict):
        return {key: redacted(item, key) for key, item in value.items()}
    if isinstance(value, list):
        if name == "env":
            # Of an exec plugin: names and values.
            return [
                {**one, "value": CUT} if isinstance(one, dict) and "value" in one else one
                for one in value
            ]
        return [redacted(item, name) for item in value]
    if isinstance(value, str) and value:
        if name not in _NEVER_SECRET and _SECRET.search(name):
            return CUT
        return CUT if _has_private_key(value) else without_user_info(value)
    return value


def cut_all(value: Any) -> Any:
    """Return a document with every text and number of it cut out."""
    if isinstance(value, dict):
        return {key: cut_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [cut_all(item) for item in value]
    return CUT


def _has_private_key(value: str) -> bool:
    if "PRIVATE KEY-----" in value:
        return True
    try:
        return b"PRIVATE KEY-----" in base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return False


def certificates(pem: str) -> list[str]:
    """Return the certificates of a PEM text, without anything else that it holds."""
    return _PEM.findall(pem)


def field(document: Any, path: str) -> Any:
    """Return what a document has at a dotted path, or None."""
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def attempt(action: Callable[[], Any]) -> dict[str, Any]:
    """Return ``{"value": …}``, or ``{"problem": …}`` with the reason if the action fails."""
    try:
        return {"value": action()}
    except Exception as error:  # one part that fails must not cost the others
        return {"problem": str(error) or type(error).__name__}


def described(path: str, root: str) -> dict[str, Any]:
    """Return the file of a configuration: its owner and mode, and its document without secrets."""
    seen: dict[str, Any] = {"path": path, **(ownership(path, root) or {})}
    try:
        # Kubernetes takes a configuration that begins with a brace for JSON, but no kubeconfig.
        document = mapping(read(path, root), json_by_brace=True)
    except FileNotFoundError:
        return {**seen, "problem": "it does not exist", "missing": True}
    except (Unreadable, DocumentError) as error:
        return {**seen, "problem": str(error)}
    return {**seen, "document": without_secrets(document)}


def without_secrets(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a KubeletConfiguration without its secrets."""
    shown: dict[str, Any] = redacted(configuration)
    if "staticPodURLHeader" in shown:
        shown["staticPodURLHeader"] = cut_all(shown["staticPodURLHeader"])
    return shown
