"""The parts of an observation: what was seen of one thing on a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 means no answer, and ``body`` is the reason."""

    status: int
    body: str
    port: int = field(default=0, compare=False)
    certificate: str = field(default="", compare=False, repr=False)
    """The server's certificate in PEM, of a TLS port."""


@dataclass(frozen=True)
class File:
    """A file or folder on the node."""

    path: str
    owner: str
    group: str
    mode: int
    kind: str = "file"
    """``file``, ``directory`` or ``other``."""
    digest: str = ""
    """The SHA-256 of its content; empty where it was not read."""
    content: bytes | None = field(default=None, repr=False)
    """None where the content is secret and stays on the node, or was not read."""
    cut: bool = False
    """Whether passwords were cut out of ``content``."""
    problem: str = ""
    """Why it could not be read."""

    @property
    def text(self) -> str:
        """The content as text; nothing where it was not read."""
        return (self.content or b"").decode(errors="replace")


@dataclass(frozen=True)
class Document:
    """A file of ``--config`` or ``--config-dir``, without secrets."""

    path: str
    file: File | None
    document: Mapping[str, Any]
    problem: str = ""
    drop_in: bool = False


@dataclass(frozen=True)
class Authority:
    """A file or text with CA certificates, in PEM."""

    path: str
    certificates: tuple[str, ...]
    problem: str = ""
    file: File | None = None
    key_file: File | None = None
    """Its private key, if that is in the same folder."""


@dataclass(frozen=True)
class Kubeconfig:
    """The kubeconfig that the kubelet was given, and what its current context leads to."""

    path: str
    file: File | None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole document, with keys, tokens and passwords cut out."""
    problem: str = ""
    """Why it cannot be read."""
    choice: str = ""
    """Why no cluster and user can be chosen."""
    server: str = ""
    insecure: bool = False
    authority: Authority = Authority("", ())
    kind: str = ""
    """How the kubelet identifies itself: ``certificate``, ``token``, ``exec plugin`` …"""
    certificates: tuple[str, ...] = ()
    """The client certificate, and those that it is sent with."""
    key: str = ""
    """``matches`` if the key is the certificate's, or the problem."""
    files: Mapping[str, tuple[File | None, bool]] = field(default_factory=dict)
    """The files it names, by path, and whether what they hold is secret."""
    bootstrap: Kubeconfig | None = None


@dataclass(frozen=True)
class Running:
    """A kubelet of the node, its unit's or another."""

    pid: int
    argv: tuple[str, ...]
    """The first words of it."""
    unit: str
    """The service that it belongs to; nothing for one outside of all services."""


@dataclass(frozen=True)
class Process:
    """The process that is the kubelet."""

    pid: int
    argv: tuple[str, ...]
    is_main: bool
    """Whether it is the unit's main process, not a child or another process."""
    program: str
    """The path of its program's file."""
    file: File | None
    replaced: str
    """How that file is not the one that runs, if it is not."""
    contained: bool
    """Whether it has a file system of its own, as in a container."""


@dataclass(frozen=True)
class StaticPods:
    """The folder that the kubelet reads static pods from, and the files in it."""

    path: str
    file: File | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Proxy:
    """The node's kube-proxy; without ``argv`` none runs, but its kubeconfig may be there."""

    argv: tuple[str, ...] = ()
    contained: bool = False
    """Whether it has a file system of its own, as in a pod."""
    configuration: Document | None = None
    """The file of its ``--config``."""
    kubeconfig: str = ""
    """The path of its kubeconfig."""
    kubeconfig_file: File | None = None
