"""The verbs on stored objects: k8s.io/apiserver/pkg/endpoints/handlers and registry/generic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import timestamp

from hollow_apiserver.answers import Answer, accepted_form, json_answer
from hollow_apiserver.bodies import body, parse, parsed
from hollow_apiserver.certificates import check_new
from hollow_apiserver.conversion import from_version, to_version
from hollow_apiserver.failures import (
    RequestFailure,
    bad_request,
    conflict,
    details,
    method_not_allowed,
    no_such_path,
)
from hollow_apiserver.kinds import KINDS, Kind, stored
from hollow_apiserver.objects import prepare_changed, prepare_new
from hollow_apiserver.patches import apply_patch
from hollow_apiserver.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Rest(Reading):
    """Creates, reads, changes, deletes and watches objects."""

    def __init__(self, storage: Storage, admission: Admission, signer: Signer) -> None:
        super().__init__(storage)
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

    def create(self, kind: Kind, request: Request, form: Form) -> Answer:
        """Create an object."""
        thing = body(kind, request)
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
        thing = body(kind, request)
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
        target = parsed(request)
        if request.subresource == "eviction":
            before = self.storage.get(kind, request.namespace, request.name)
            self.admission.check(kind, request, before, None)
            if not dry(request):
                self.storage.delete(kind, request.namespace, request.name)
        else:
            node = (target.get("target") or {}).get("name") or ""
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


def dry(request: Request) -> bool:
    """Whether a request shall change nothing."""
    return request.option("dryRun") == "All" and since(12)
