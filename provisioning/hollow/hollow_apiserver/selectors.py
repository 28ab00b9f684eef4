"""Label and field selectors: k8s.io/apimachinery/pkg/labels and pkg/fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import quote

from hollow_apiserver.failures import bad_request
from hollow_apiserver.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*)?(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
    r"(?:\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)|\s*(?P<sign>==|!=|=)\s*(?P<value>[^,\s]*))?"
    r"\s*(?:,|$)"
)


def label_selector(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether an object has the labels that a selector asks for."""
    terms = []
    position = 0
    while position < len(text):
        found = TERM.match(text, position)
        if not found:
            raise bad_request(f"unable to parse requirement: {misread(text[position:])}")
        terms.append(found.groupdict())
        position = found.end()

    def matches(thing: Mapping[str, Any]) -> bool:
        labels = thing.get("metadata", {}).get("labels") or {}
        return all(fits(term, labels) for term in terms)

    return matches


def misread(text: str) -> str:
    """Return what is wrong with the rest of a selector."""
    words = text.replace(",", " , ").split()
    if len(words) > 1 and re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_./]*", words[0]):
        old = "'=', '!=', '==', 'in', notin'"
        signs = "in, notin, =, ==, !=, gt, lt" if since(19) else old
        return f"found '{words[1]}', expected: {signs}"
    return f"found '{words[0] if words else ''}', expected: identifier"


def fits(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether labels fit one requirement."""
    key, value = term["key"], labels.get(term["key"])
    if term["absent"]:
        return value is None
    if term["set"]:
        listed = value in [one.strip() for one in term["values"].split(",")]
        return bool(listed == (term["set"] == "in"))
    if term["sign"] == "!=":
        return bool(value != term["value"])
    return bool(value == term["value"]) if term["sign"] else key in labels


FIELDS = {
    "certificatesigningrequests": {"spec.signerName"},
    "events": {
        "involvedObject.apiVersion", "involvedObject.fieldPath", "involvedObject.kind",
        "involvedObject.name", "involvedObject.namespace", "involvedObject.resourceVersion",
        "involvedObject.uid", "reason", "regarding.kind", "regarding.name", "regarding.namespace",
        "regarding.uid", "reportingComponent", "reportingController", "source", "type",
    },
    "namespaces": {"status.phase"},
    "nodes": {"spec.unschedulable"},
    "pods": {
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "status.nominatedNodeName", "status.phase", "status.podIP",
    },
    "secrets": {"type"},
    "services": {"spec.clusterIP", "spec.type"},
}  # fmt: skip
"""The fields beside name and namespace by which each kind can be selected."""


def field_selector(text: str, plural: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether an object has the values of fields that a selector asks for."""
    known = {"metadata.name", "metadata.namespace"} | FIELDS.get(plural, set())
    terms = []
    for term in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
        if not found:
            raise bad_request(f"invalid selector: {quote(text)}; can't understand {quote(term)}")
        if found[1] not in known:
            if not since(8):
                kind = next(one.kind for one in KINDS if one.plural == plural)
                raise bad_request(f"field label {quote(found[1])} not supported for {quote(kind)}")
            if plural in FIELDS:
                raise bad_request(f"field label not supported: {found[1]}")
            names = ", ".join(map(quote, sorted(known)))
            raise bad_request(f"{quote(found[1])} is not a known field selector: only {names}")
        terms.append((found[1], found[2] != "!=", found[3]))

    def matches(thing: Mapping[str, Any]) -> bool:
        return all((value_of(thing, path) == value) == equal for path, equal, value in terms)

    return matches


def value_of(thing: Mapping[str, Any], path: str) -> str:
    """Return a field as a selector compares it."""
    if path == "source":
        path = "source.component"
    value: Any = thing
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if path == "spec.unschedulable":
        return str(bool(value)).lower()
    return "" if value is None else str(value)
