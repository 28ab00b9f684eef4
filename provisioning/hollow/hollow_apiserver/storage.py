"""Objects in etcd: k8s.io/apiserver/pkg/storage/etcd3.

An object's resourceVersion is the revision of its key's last change; it is not stored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hollow_apiserver.etcd import Entry, Etcd, after
from hollow_apiserver.failures import already_exists, not_found, precondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from hollow_apiserver.kinds import Kind

    Change = Callable[[dict[str, Any]], dict[str, Any]]


class Storage:
    """The objects of a cluster."""

    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Return an object; raise a RequestFailure if it is not there."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        entries = self.etcd.range(kind.storage_key(namespace, name)).entries
        return decode(entries[0]) if entries else None

    def list(self, kind: Kind, namespace: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind, or those of a namespace."""
        prefix = kind.prefix(namespace)
        return [decode(entry) for entry in self.etcd.range(prefix, after(prefix)).entries]

    def create(
        self, kind: Kind, namespace: str, thing: dict[str, Any], seconds: int = 0
    ) -> dict[str, Any]:
        """Store a new object, for ``seconds`` if that is not 0."""
        name = thing["metadata"]["name"]
        lease = self.etcd.grant(seconds) if seconds else 0
        key = kind.storage_key(namespace, name)
        revision = self.etcd.write(key, encode(thing), 0, lease)
        if revision is None:
            raise already_exists(kind, name)
        return with_version(thing, revision)

    def update(self, kind: Kind, namespace: str, name: str, change: Change) -> dict[str, Any]:
        """Change an object, again if someone else changed it meanwhile.

        What changes nothing is not written. ``change`` raises what shall end the attempts.
        """
        key = kind.storage_key(namespace, name)
        while True:
            entries = self.etcd.range(key).entries
            if not entries:
                raise not_found(kind, name)
            before = decode(entries[0])
            thing = change(decode(entries[0]))
            if with_version(thing, entries[0].revision) == before:
                return before
            revision = self.etcd.write(key, encode(thing), entries[0].revision)
            if revision is not None:
                return with_version(thing, revision)

    def delete(
        self, kind: Kind, namespace: str, name: str, uid: str = "", version: str = ""
    ) -> dict[str, Any]:
        """Delete an object and return it; with a uid or version, only if it has that."""
        key = kind.storage_key(namespace, name)
        while True:
            thing = self.get(kind, namespace, name)
            metadata = thing["metadata"]
            for what, wanted, found in (
                ("UID", uid, metadata.get("uid")),
                ("ResourceVersion", version, metadata["resourceVersion"]),
            ):
                if wanted and wanted != found:
                    raise precondition(kind, name, what, wanted, str(found))
            if self.etcd.delete(key, int(metadata["resourceVersion"])) is not None:
                return thing


def encode(thing: dict[str, Any]) -> bytes:
    """Return an object as etcd has it."""
    metadata = {
        name: value for name, value in thing["metadata"].items() if name != "resourceVersion"
    }
    return json.dumps({**thing, "metadata": metadata}, separators=(",", ":")).encode()


def decode(entry: Entry) -> dict[str, Any]:
    """Return an object from etcd."""
    return with_version(json.loads(entry.value), entry.revision)


def with_version(thing: dict[str, Any], revision: int) -> dict[str, Any]:
    """Return an object with its resourceVersion."""
    metadata = {**thing["metadata"], "resourceVersion": str(revision)}
    return {**thing, "metadata": metadata}
