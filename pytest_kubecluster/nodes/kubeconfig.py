"""A kubeconfig of this host, read so that none of its keys is written to a file."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from pytest_kubecluster.errors import KubeClusterError

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def prepared(path: Path) -> dict[str, Any]:
    """Return a kubeconfig whose files are absolute paths.

    What is embedded gets a path, too, of a file in memory: the official client would write it to a
    temporary file, which stays if this process is killed. Raises ValueError and OSError.
    """
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict):
        raise ValueError("it is not a YAML mapping")
    for kind, key in (("clusters", "cluster"), ("users", "user")):
        for entry in document.get(kind) or ():
            entry[key] = entry.get(key) or {}
            _embedded_as_paths(entry[key], path.parent)
    return document


def _embedded_as_paths(fields: dict[str, Any], folder: Path) -> None:
    for name in _FILES:
        if embedded := fields.pop(f"{name}-data", None):
            fields[name] = _in_memory(base64.b64decode(embedded, validate=True))
        elif fields.get(name):
            fields[name] = str(folder.absolute() / fields[name])


def _in_memory(content: bytes) -> str:
    """Return the path of a file that is in memory alone, and ends with this process."""
    descriptor = os.memfd_create("kubeconfig", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def unusable(path: Path) -> Iterator[None]:
    """Turn what is wrong with a kubeconfig into a KubeClusterError that names it."""
    try:
        yield
    except KubeClusterError:
        raise
    except (ssl.SSLError, urllib3.exceptions.SSLError) as error:
        raise KubeClusterError(
            f"{path}: its certificates or its key cannot be used: {error}"
        ) from None
    except OSError as error:
        where = error.filename or path
        raise KubeClusterError(f"{where} cannot be read: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise KubeClusterError(f"{path} is not valid YAML{line}") from None
    except (KeyError, StopIteration) as error:
        what = error.args[0] if error.args else "its context"
        raise KubeClusterError(f"{path} is not a usable kubeconfig: {what!r} is missing") from None
    except Exception as error:  # of the official client, whatever a document makes it raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise KubeClusterError(f"{path} is not a usable kubeconfig: {reason}") from None
