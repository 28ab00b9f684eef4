"""Answers: pages and streams, and in which form a client wants objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from hollow_common.facts import since

from hollow_apiserver.failures import RequestFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Answer(NamedTuple):
    """An answer: a body, or a stream of pieces.

    The stream is made by a function that is given another one, which says whether the client
    is gone.
    """

    status: int
    body: bytes = b""
    kind: str = "application/json"
    stream: Callable[[Callable[[], bool]], Iterator[bytes]] | None = None
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(value: Any, status: int = 200) -> Answer:
    """Answer with a value in JSON."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode() + b"\n")


def text_answer(text: str, status: int = 200) -> Answer:
    """Answer with a text."""
    return Answer(status, text.encode(), "text/plain; charset=utf-8")


def failure_answer(failure: RequestFailure) -> Answer:
    """Answer with the Status of a failure."""
    if failure.plain:
        return text_answer(str(failure), failure.code)
    return json_answer(failure.status(), failure.code)


class Form(NamedTuple):
    """The form that a client accepts: an object as it is, or as a Table or its metadata alone."""

    kind: str = ""
    version: str = ""


PLAIN = Form()
ACCEPTED = (
    "application/json", "application/yaml", "application/*", "*/*", "",
)  # fmt: skip


def accepted_form(accept: str) -> Form:
    """Return the first form of an Accept header that the server can give.

    k8s.io/apiserver/pkg/endpoints/handlers/negotiation.
    """
    for part in accept.split(","):
        media, *parameters = [one.strip() for one in part.split(";")]
        values = dict(one.partition("=")[::2] for one in parameters)
        if media not in ACCEPTED or media == "application/yaml":
            continue
        kind, version = values.get("as", ""), values.get("v", "")
        if not kind:
            return PLAIN
        known = {"Table": 10, "PartialObjectMetadata": 15, "PartialObjectMetadataList": 15}
        versions = ("v1", "v1beta1") if since(15) else ("v1beta1",)
        group = values.get("g") == "meta.k8s.io"
        if group and kind in known and since(known[kind]) and version in versions:
            return Form(kind, version)
    return refuse(accept)


def refuse(accept: str) -> Form:
    """Refuse a client that accepts nothing that the server has; protobuf alone is such."""
    if "application/json" in accept or "*/*" in accept:
        return PLAIN
    raise RequestFailure(
        406, "NotAcceptable",
        "only the following media types are accepted: application/json",
    )  # fmt: skip
