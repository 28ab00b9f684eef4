"""The verbs that read stored objects: get, list and watch."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import quote

from hollow_apiserver.answers import Answer, json_answer
from hollow_apiserver.conversion import to_version
from hollow_apiserver.etcd import Compacted, after
from hollow_apiserver.failures import (
    RequestFailure,
    bad_request,
    expired,
    plain_failure,
)
from hollow_apiserver.kinds import Kind, group_version
from hollow_apiserver.selectors import field_selector, label_selector
from hollow_apiserver.storage import decode
from hollow_apiserver.tables import only_metadata, table
from hollow_apiserver.watches import Watch, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hollow_apiserver.answers import Form
    from hollow_apiserver.requests import Request
    from hollow_apiserver.storage import Storage

WATCH_SECONDS = 1800.0


class Reading:
    """Reads and watches objects."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def get(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Answer with an object."""
        found = self.storage.get(kind, request.namespace, request.name)
        return json_answer(self.show(kind, request, form, found))

    def show(
        self, kind: Kind, request: Request, form: Form, thing: dict[str, Any]
    ) -> dict[str, Any]:
        """Return an object in the version and the form that a request wants."""
        shown = to_version(kind, thing, request.version)
        if form.kind == "Table":
            metadata = {"resourceVersion": thing["metadata"]["resourceVersion"]}
            included = request.option("includeObject") or "Metadata"
            return table(kind.plural, [self.told(kind, thing, shown, included)], metadata,
                         form.version, included)  # fmt: skip
        if form.kind:
            return only_metadata(shown, form.version)
        return shown

    @staticmethod
    def told(
        kind: Kind, thing: dict[str, Any], shown: dict[str, Any], included: str
    ) -> dict[str, Any]:
        """Return the object that a table's printer reads: it knows events of the core group."""
        return shown if included == "Object" and kind.plural != "events" else thing

    def matcher(self, kind: Kind, request: Request) -> Callable[[dict[str, Any]], bool]:
        """Return whether an object fits a request's selectors and name."""
        by_label = label_selector(request.option("labelSelector"))
        by_field = field_selector(request.option("fieldSelector"), kind.plural)

        def matches(thing: dict[str, Any]) -> bool:
            return by_label(thing) and by_field(thing)

        return matches

    def list_all(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Answer with a list, in parts if the client wants."""
        matches = self.matcher(kind, request)
        prefix = kind.prefix(request.namespace)
        limit = number_of(request, "limit")
        start, revision = continued(request.option("continue"), prefix)
        found: list[dict[str, Any]] = []
        metadata: dict[str, Any] = {}
        try:
            while True:
                page = self.storage.etcd.range(start, after(prefix), limit, revision)
                revision = revision or page.revision
                things = map(decode, page.entries)
                found += [thing for thing in things if matches(thing)]
                if page.more:
                    start = page.entries[-1].key + "\0"
                if not page.more or len(found) >= limit:
                    break
        except Compacted:
            problem = "The provided continue parameter is too old to display a consistent list"
            raise RequestFailure(410, "Expired", problem) from None
        metadata["resourceVersion"] = str(revision)
        if page.more:
            metadata["continue"] = token(start, revision)
        return json_answer(self.show_list(kind, request, form, found, metadata))

    def show_list(
        self,
        kind: Kind,
        request: Request,
        form: Form,
        found: list[dict[str, Any]],
        metadata: dict[str, Any],
    ) -> dict[str, Any]:
        """Return a list in the version and the form that a request wants."""
        shown = [to_version(kind, thing, request.version) for thing in found]
        if form.kind == "Table":
            included = request.option("includeObject") or "Metadata"
            told = [self.told(kind, *pair, included) for pair in zip(found, shown)]  # noqa: B905
            return table(kind.plural, told, metadata, form.version, included)
        if form.kind:
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{form.version}",
                "metadata": metadata,
                "items": [only_metadata(thing, form.version) for thing in shown],
            }
        for thing in shown:
            del thing["kind"], thing["apiVersion"]
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": group_version(kind.group, request.version),
            "metadata": metadata,
            "items": shown,
        }

    def watch(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Answer with a stream of events."""
        matches = self.matcher(kind, request)
        asked = request.option("resourceVersion")
        if asked and not asked.isdigit():
            problem = f"strconv.ParseUint: parsing {quote(asked)}: invalid syntax"
            raise plain_failure(f"resourceVersion: Invalid value: {quote(asked)}: {problem}")
        first: list[dict[str, Any]] = []
        initial = None
        prefix = kind.prefix(request.namespace)
        if asked in ("", "0") or request.flag("sendInitialEvents"):
            page = self.storage.etcd.range(prefix, after(prefix))
            first = [thing for thing in map(decode, page.entries) if matches(thing)]
            revision = page.revision
            if request.flag("sendInitialEvents"):
                initial = self.bookmark(kind, request, revision, ended=True)
        else:
            revision = int(asked)
            self.check_known(prefix, revision)
        watch = Watch(self.storage.etcd, kind, request.namespace, revision + 1, matches)
        watch.start()
        seconds = float(number_of(request, "timeoutSeconds") or WATCH_SECONDS)
        marks = request.flag("allowWatchBookmarks") and since(15)
        now: list[int] = [revision]

        def mark() -> dict[str, Any]:
            # The revision of the mark before: everything up to it was sent long ago.
            known, now[0] = now[0], self.storage.etcd.range(prefix, keys_only=True).revision
            return self.bookmark(kind, request, known)

        def shown(thing: dict[str, Any]) -> dict[str, Any]:
            return self.show(kind, request, form, thing)

        def stream(gone: Callable[[], bool]) -> Iterator[bytes]:
            return lines(watch, first, shown, seconds, mark if marks else None, gone, initial)

        return Answer(200, stream=stream)

    def check_known(self, prefix: str, revision: int) -> None:
        """Raise the failure of a watch that begins before what etcd still knows."""
        try:
            self.storage.etcd.range(prefix, limit=1, revision=revision, keys_only=True)
        except Compacted as error:
            raise expired(error.oldest, revision) from None

    @staticmethod
    def bookmark(
        kind: Kind, request: Request, revision: int, ended: bool = False
    ) -> dict[str, Any]:
        """Return an object that only tells how far a watch is."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if ended:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        version = group_version(kind.group, request.version)
        return {"kind": kind.kind, "apiVersion": version, "metadata": metadata}


def number_of(request: Request, name: str) -> int:
    """Return a parameter of the query that is a number, or 0."""
    text = request.option(name)
    try:
        return int(text or 0)
    except ValueError:
        problem = f"strconv.ParseInt: parsing {quote(text)}: invalid syntax"
        raise bad_request(problem) from None


def token(start: str, revision: int) -> str:
    """Return what a client sends to get the next part of a list."""
    fields = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def continued(text: str, prefix: str) -> tuple[str, int]:
    """Return where a list goes on, and of which revision it is."""
    if not text:
        return prefix, 0
    try:
        fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        start, revision = str(fields["start"]), int(fields["rv"])
    except (ValueError, LookupError, TypeError):
        raise bad_request("invalid continue token: continue key is not valid") from None
    if not start.startswith(prefix):
        raise bad_request("invalid continue token: continue key is not valid")
    return start, revision
