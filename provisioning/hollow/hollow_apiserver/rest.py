"""The verbs on stored objects: k8s.io/apiserver/pkg/endpoints/handlers and registry/generic."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import GO_TYPES, quote, timestamp

from hollow_apiserver.answers import Answer, accepted_form, json_answer
from hollow_apiserver.certificates import check_new
from hollow_apiserver.conversion import from_version, to_version
from hollow_apiserver.etcd import Compacted, after
from hollow_apiserver.failures import (
    RequestFailure,
    bad_request,
    conflict,
    details,
    expired,
    method_not_allowed,
    no_such_path,
    plain_failure,
    unsupported_media,
)
from hollow_apiserver.kinds import KINDS, Kind, find, group_version, stored
from hollow_apiserver.objects import prepare_changed, prepare_new
from hollow_apiserver.patches import apply_patch
from hollow_apiserver.selectors import field_selector, label_selector
from hollow_apiserver.storage import decode
from hollow_apiserver.tables import only_metadata, table
from hollow_apiserver.watches import Watch, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hollow_apiserver.admission import Admission
    from hollow_apiserver.answers import Form
    from hollow_apiserver.certificates import Signer
    from hollow_apiserver.requests import Request
    from hollow_apiserver.storage import Storage

PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
CHANGES = ("create", "update", "patch", "delete")
EVENT_SECONDS = 3600
WATCH_SECONDS = 1800.0
MEDIA = ("application/json", "application/yaml", "application/x-www-form-urlencoded", "")
"""Media types of bodies that are read; those after the second are a client's that says none."""


class Rest:
    """Creates, reads, changes, deletes and watches objects."""

    def __init__(self, storage: Storage, admission: Admission, signer: Signer) -> None:
        self.storage = storage
        self.admission = admission
        self.signer = signer

    def answer(self, kind: Kind, request: Request) -> Answer:
        """Answer a request for a kind."""
        form = accepted_form(request.headers.get("Accept", ""))
        if request.subresource and request.subresource not in kind.subresources:
            raise no_such_path()
        if request.subresource in ("binding", "eviction"):
            return self.act_on_pod(kind, request)
        if request.subresource == "log":
            raise bad_request("the hollow API server knows no logs: its pods do not run")
        verbs: dict[str, Callable[[Kind, Request, Form], Answer]] = {
            "get": self.get, "list": self.list_all, "watch": self.watch, "create": self.create,
            "update": self.update, "patch": self.patch, "delete": self.delete,
            "deletecollection": self.delete_all,
        }  # fmt: skip
        named = request.verb in ("get", "update", "patch", "delete")
        if request.verb not in verbs or (named != bool(request.name) and request.verb in CHANGES):
            raise method_not_allowed()
        return verbs[request.verb](kind, request, form)

    # ------------------------------------------------------------------------------ reading

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
        limit = int(request.option("limit") or 0)
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
        seconds = float(request.option("timeoutSeconds") or WATCH_SECONDS)
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

    # ----------------------------------------------------------------------------- changing

    def create(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Create an object."""
        thing = self.body(kind, request)
        if kind.namespaced and not request.namespace:
            raise method_not_allowed()
        thing = prepare_new(kind, thing, request.namespace, "", request.user)
        name = thing["metadata"]["name"]
        if kind.plural == "certificatesigningrequests":
            thing["spec"] = check_new(thing["spec"], name, request.version)
        self.admission.check(kind, request, None, thing)
        if kind.plural == "certificatesigningrequests":
            thing = self.signer.treat(thing)
        seconds = EVENT_SECONDS if kind.plural == "events" else 0
        if dry(request):
            made = {**thing, "metadata": {**thing["metadata"], "resourceVersion": ""}}
        else:
            made = self.storage.create(kind, request.namespace, thing, seconds)
        return json_answer(self.show(kind, request, form, made), 201)

    def update(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Replace an object."""
        thing = self.body(kind, request)
        given = thing.get("metadata") or {}
        if given.get("name") and given["name"] != request.name:
            problem = f"({given['name']}) does not match the name on the URL ({request.name})"
            raise bad_request(f"the name of the object {problem}")
        if kind.plural in ("leases", "events") and not self.storage.find(
            kind, request.namespace, request.name
        ):
            return self.create(kind, request, form)  # these kinds allow create on update
        return self.change(kind, request, form, lambda _: thing)

    def patch(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Patch an object."""
        media = request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media not in PATCHES:
            text = (
                "the body of the request was in an unknown format - accepted media types "
                f"include: {', '.join(PATCHES)}"
            )
            raise RequestFailure(415, "UnsupportedMediaType", text)
        patch = parse(request.body)

        def patched(before: dict[str, Any]) -> dict[str, Any]:
            shown = to_version(kind, before, request.version)
            return from_version(kind, apply_patch(media, shown, patch))

        return self.change(kind, request, form, patched)

    def change(
        self,
        kind: Kind,
        request: Request,
        form: Form,
        made: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> Answer:
        """Change an object to what ``made`` makes of it."""

        def changed(before: dict[str, Any]) -> dict[str, Any]:
            thing = prepare_changed(kind, before, made(before), request.subresource)
            self.admission.check(kind, request, before, thing)
            if kind.plural == "certificatesigningrequests" and request.subresource == "approval":
                thing = self.signer.treat(thing)
            return thing

        if dry(request):
            result = changed(self.storage.get(kind, request.namespace, request.name))
        else:
            result = self.storage.update(kind, request.namespace, request.name, changed)
        return json_answer(self.show(kind, request, form, result))

    def delete(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Delete an object; a namespace with all that is in it."""
        before = self.storage.get(kind, request.namespace, request.name)
        self.admission.check(kind, request, before, None)
        options = parse(request.body) if request.body.strip() else {}
        wanted = (options if isinstance(options, dict) else {}).get("preconditions") or {}
        if dry(request):
            return json_answer(self.show(kind, request, form, before))
        uid, version = wanted.get("uid") or "", wanted.get("resourceVersion") or ""
        gone = self.storage.delete(kind, request.namespace, request.name, uid, version)
        if kind.plural == "namespaces":
            self.empty_namespace(request.name)
        if kind.plural == "pods":
            return json_answer(self.show(kind, request, form, gone))
        uid = gone["metadata"].get("uid", "")
        status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": details(kind, request.name, uid=uid),
        }  # fmt: skip
        return json_answer(status)

    def delete_all(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Delete all objects that fit the selectors."""
        matches = self.matcher(kind, request)
        found = [one for one in self.storage.list(kind, request.namespace) if matches(one)]
        for thing in found:
            self.admission.check(kind, request, thing, None)
            metadata = thing["metadata"]
            if not dry(request):
                self.storage.delete(kind, metadata.get("namespace", ""), metadata["name"])
        return json_answer(self.show_list(kind, request, form, found, {}))

    def empty_namespace(self, name: str) -> None:
        """Delete what is in a namespace."""
        for kind in KINDS:
            if kind.namespaced and kind.group != "events.k8s.io":
                for thing in self.storage.list(kind, name):
                    self.storage.delete(kind, name, thing["metadata"]["name"])

    def act_on_pod(self, kind: Kind, request: Request) -> Answer:
        """Bind a pod to a node, or evict it."""
        if request.verb != "create":
            raise method_not_allowed()
        body = self.parsed(request)
        if request.subresource == "eviction":
            before = self.storage.get(kind, request.namespace, request.name)
            self.admission.check(kind, request, before, None)
            if not dry(request):
                self.storage.delete(kind, request.namespace, request.name)
        else:
            node = (body.get("target") or {}).get("name") or ""
            self.storage.get(stored("nodes"), "", node)

            def bound(pod: dict[str, Any]) -> dict[str, Any]:
                if pod["spec"].get("nodeName"):
                    problem = f"pod {request.name} is already assigned to node"
                    raise conflict(kind, request.name, f'{problem} "{pod["spec"]["nodeName"]}"')
                when = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
                status = {**pod["status"], "conditions": [when]}
                return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}

            self.storage.update(kind, request.namespace, request.name, bound)
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return json_answer({**success, "code": 201}, 201)

    def parsed(self, request: Request) -> dict[str, Any]:
        """Return the object in a request's body."""
        media = request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media not in MEDIA:
            raise unsupported_media(", ".join(MEDIA[:2]))
        wanted = getattr(find(request.group, request.version, request.resource), "kind", "")
        thing = parse(request.body, wanted)
        if not isinstance(thing, dict):
            raise unreadable(request.body, wanted, cannot_unmarshal(thing))
        return thing

    def body(self, kind: Kind, request: Request) -> dict[str, Any]:
        """Return the object in a request's body, as it is stored."""
        thing = self.parsed(request)
        wanted = group_version(kind.group, request.version)
        given, found = thing.get("kind") or kind.kind, thing.get("apiVersion") or wanted
        if (given, found) != (kind.kind, wanted):
            shown = found if "/" in found else f"/{found}"
            group, _, version = shown.rpartition("/")
            source = f"{group.rpartition('.')[2]}{version}.{given}".replace("/", "")
            package = "core" if since(9) else "api"
            problem = "unknown conversion" if since(12) else "Data not present in src"
            raise bad_request(
                f'{given} in version "{version}" cannot be handled as a {kind.kind}: '
                f"converting ({source}) to ({package}.{kind.kind}): {problem}"
            )
        return from_version(kind, {**thing, "kind": kind.kind})


def parse(body: bytes, wanted: str = "") -> Any:
    """Return what a body in JSON, or in YAML, holds; ``wanted`` is the kind it shall be of."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    from hollow_common.yaml_reader import YamlError, load_yaml_or_json

    try:
        return load_yaml_or_json(body).value
    except YamlError as error:
        raise unreadable(body, wanted, str(error)) from None


def unreadable(body: bytes, wanted: str, problem: str) -> RequestFailure:
    """Return the failure of a body that holds no object."""
    shown = body[:1024].decode(errors="replace") if body.startswith(b"{") else body[:64].hex()
    of_type = f" (must be of type {wanted})" if wanted else ""
    reading = "couldn't get version/kind; json parse error"
    return bad_request(
        f"the object provided is unrecognized{of_type}: {reading}: {problem} ({shown})"
    )


def cannot_unmarshal(value: Any) -> str:
    """Return Go's words about a value that is no object."""
    found = GO_TYPES.get(type(value), "number")
    fields = r'APIVersion string "json:\"apiVersion,omitempty\""; '
    fields += r'Kind string "json:\"kind,omitempty\""'
    return f"json: cannot unmarshal {found} into Go value of type struct {{ {fields} }}"


def dry(request: Request) -> bool:
    """Whether a request shall change nothing."""
    return request.option("dryRun") == "All" and since(12)


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
