"""Objects in protobuf, as kubelets send them by default: the generated.proto files of k8s.io/api.

What a kubelet creates or replaces is read; answers are always JSON, which kubelets take as well.
Fields that are not listed here are dropped.
"""

from __future__ import annotations

import base64
import time
from typing import Any, NamedTuple

MAGIC = b"k8s\0"
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Unreadable(Exception):
    """Bytes that are no object, or one of a kind that is not known."""


class Field(NamedTuple):
    """A field: its name in JSON, its kind or message, and whether it is a list, map or inline."""

    name: str
    kind: str = "string"
    many: str = ""


def read(data: bytes) -> dict[str, Any]:
    """Return the object in an envelope: runtime.Unknown of k8s.io/apimachinery."""
    if not data.startswith(MAGIC):
        raise Unreadable("it does not begin with k8s")
    try:
        envelope = message(data[len(MAGIC) :], "Unknown")
        meta = envelope.get("typeMeta", {})
        kind = meta.get("kind", "")
        if kind not in MESSAGES:
            raise Unreadable(f"a {kind or 'nameless kind'} in protobuf is not known")
        raw = base64.b64decode(envelope.get("raw", ""))
        return {**meta, **message(raw, kind)}
    except (IndexError, ValueError, KeyError) as error:
        raise Unreadable(f"unexpected EOF ({error})") from None


def message(data: bytes, name: str) -> dict[str, Any]:
    """Return a message by its fields' names."""
    known = MESSAGES[name]
    found: dict[str, Any] = {}
    for number, value in pairs(data):
        field = known.get(number)
        if field is None:
            continue
        if field.many == "map":
            entry = dict(pairs(value))
            shown = entry.get(2, b"")
            found.setdefault(field.name, {})[entry.get(1, b"").decode()] = plain(shown, field.kind)
        elif field.many == "list":
            found.setdefault(field.name, []).append(plain(value, field.kind))
        elif field.many == "inline":
            found |= plain(value, field.kind)
        else:
            found[field.name] = plain(value, field.kind)
    return {name: value for name, value in found.items() if value or isinstance(value, list)}


def plain(value: Any, kind: str) -> Any:
    """Return a field's value as JSON has it."""
    if kind == "string":
        return value.decode()
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    if kind in ("Time", "MicroTime"):
        return moment(value, kind == "MicroTime")
    if kind == "Quantity":
        return message(value, kind).get("string", "0")
    if kind == "Strings":
        return message(value, kind).get("items", [])
    return message(value, kind)


def moment(data: bytes, micro: bool) -> str | None:
    """Return a time as JSON has it; none at all is the zero time."""
    fields = dict(pairs(data))
    seconds = plain(fields.get(1, 0), "int")
    if not fields or seconds < 0:
        return None
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fields.get(2, 0) // 1000:06}Z" if micro else f"{text}Z"


def pairs(data: bytes) -> list[tuple[int, Any]]:
    """Return the numbers and values of a message's fields."""
    found: list[tuple[int, Any]] = []
    place = 0
    while place < len(data):
        key, place = varint(data, place)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == VARINT:
            value, place = varint(data, place)
        elif wire == LENGTH:
            size, place = varint(data, place)
            value = data[place : place + size]
            if len(value) != size:
                raise ValueError("a field is cut off")
            place += size
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            value, place = data[place : place + size], place + size
        else:
            raise ValueError(f"wire type {wire}")
        found.append((number, value))
    return found


def varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number and the place behind it."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def table(text: str) -> dict[int, Field]:
    """Return a message's fields from lines of ``NUMBER NAME [KIND [list|map|inline]]``."""
    found = {}
    for entry in filter(None, (one.strip() for one in text.replace("\n", ",").split(","))):
        number, *words = entry.split()
        found[int(number)] = Field(*words)
    return found


OBJECT = "1 metadata ObjectMeta, 2 spec {0}Spec, 3 status {0}Status"
MESSAGES = {
    "Unknown": table("1 typeMeta TypeMeta, 2 raw bytes, 3 contentEncoding, 4 contentType"),
    "TypeMeta": table("1 apiVersion, 2 kind"),
    "Quantity": table("1 string"),
    "Strings": table("1 items string list"),
    "ObjectMeta": table(
        """1 name, 2 generateName, 3 namespace, 5 uid, 6 resourceVersion, 7 generation int
        8 creationTimestamp Time, 9 deletionTimestamp Time, 10 deletionGracePeriodSeconds int
        11 labels string map, 12 annotations string map, 13 ownerReferences OwnerReference list
        14 finalizers string list"""
    ),
    "OwnerReference": table(
        "1 kind, 3 name, 4 uid, 5 apiVersion, 6 controller bool, 7 blockOwnerDeletion bool"
    ),
    "Node": table(OBJECT.format("Node")),
    "NodeSpec": table(
        """1 podCIDR, 2 externalID, 3 providerID, 4 unschedulable bool, 5 taints Taint list
        7 podCIDRs string list"""
    ),
    "Taint": table("1 key, 2 value, 3 effect, 4 timeAdded Time"),
    "NodeStatus": table(
        """1 capacity Quantity map, 2 allocatable Quantity map, 3 phase
        4 conditions NodeCondition list, 5 addresses NodeAddress list
        6 daemonEndpoints DaemonEndpoints, 7 nodeInfo NodeInfo, 8 images Image list
        9 volumesInUse string list, 12 runtimeHandlers RuntimeHandler list
        13 features NodeFeatures"""
    ),
    "NodeCondition": table(
        """1 type, 2 status, 3 lastHeartbeatTime Time, 4 lastTransitionTime Time, 5 reason
        6 message"""
    ),
    "NodeAddress": table("1 type, 2 address"),
    "DaemonEndpoints": table("1 kubeletEndpoint DaemonEndpoint"),
    "DaemonEndpoint": table("1 Port int"),
    "NodeInfo": table(
        """1 machineID, 2 systemUUID, 3 bootID, 4 kernelVersion, 5 osImage
        6 containerRuntimeVersion, 7 kubeletVersion, 8 kubeProxyVersion, 9 operatingSystem
        10 architecture, 11 swap Swap"""
    ),
    "Swap": table("1 capacity int"),
    "Image": table("1 names string list, 2 sizeBytes int"),
    "RuntimeHandler": table("1 name, 2 features HandlerFeatures"),
    "HandlerFeatures": table("1 recursiveReadOnlyMounts bool, 2 userNamespaces bool"),
    "NodeFeatures": table("1 supplementalGroupsPolicy bool"),
    "Lease": table("1 metadata ObjectMeta, 2 spec LeaseSpec"),
    "LeaseSpec": table(
        """1 holderIdentity, 2 leaseDurationSeconds int, 3 acquireTime MicroTime
        4 renewTime MicroTime, 5 leaseTransitions int"""
    ),
    "Event": table(
        """1 metadata ObjectMeta, 2 involvedObject ObjectReference, 3 reason, 4 message
        5 source EventSource, 6 firstTimestamp Time, 7 lastTimestamp Time, 8 count int, 9 type
        10 eventTime MicroTime, 12 action, 13 related ObjectReference, 14 reportingComponent
        15 reportingInstance"""
    ),
    "ObjectReference": table(
        "1 kind, 2 namespace, 3 name, 4 uid, 5 apiVersion, 6 resourceVersion, 7 fieldPath"
    ),
    "EventSource": table("1 component, 2 host"),
    "CertificateSigningRequest": table("1 metadata ObjectMeta, 2 spec SigningSpec"),
    "SigningSpec": table(
        """1 request bytes, 2 username, 3 uid, 4 groups string list, 5 usages string list
        7 signerName, 8 expirationSeconds int"""
    ),
    "TokenReview": table("1 metadata ObjectMeta, 2 spec TokenSpec"),
    "TokenSpec": table("1 token, 2 audiences string list"),
    "SubjectAccessReview": table("1 metadata ObjectMeta, 2 spec AccessSpec"),
    "AccessSpec": table(
        """1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes PathAttributes, 3 user
        4 groups string list, 5 extra Strings map, 6 uid"""
    ),
    "ResourceAttributes": table(
        "1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name"
    ),
    "PathAttributes": table("1 path, 2 verb"),
    "CSINode": table("1 metadata ObjectMeta, 2 spec CSINodeSpec"),
    "CSINodeSpec": table("1 drivers CSINodeDriver list"),
    "CSINodeDriver": table("1 name, 2 nodeID, 3 topologyKeys string list"),
    "DeleteOptions": table(
        "1 gracePeriodSeconds int, 2 preconditions Preconditions, 5 dryRun string list"
    ),
    "Preconditions": table("1 uid, 2 resourceVersion"),
    "Pod": table("1 metadata ObjectMeta, 2 spec PodSpec, 3 status PodStatus"),
    "PodSpec": table(
        """1 volumes Volume list, 2 containers Container list, 3 restartPolicy
        4 terminationGracePeriodSeconds int, 6 dnsPolicy, 7 nodeSelector string map
        8 serviceAccountName, 9 serviceAccount, 10 nodeName, 11 hostNetwork bool, 12 hostPID bool
        13 hostIPC bool, 16 hostname, 17 subdomain, 19 schedulerName
        20 initContainers Container list, 22 tolerations Toleration list, 24 priorityClassName
        25 priority int, 30 enableServiceLinks bool, 31 preemptionPolicy"""
    ),
    "PodStatus": table("1 phase, 3 message, 4 reason, 5 hostIP, 6 podIP, 7 startTime Time"),
    "Volume": table("1 name, 2 source VolumeSource inline"),
    "VolumeSource": table("1 hostPath HostPath"),
    "HostPath": table("1 path, 2 type"),
    "Container": table(
        """1 name, 2 image, 3 command string list, 4 args string list, 5 workingDir
        6 ports Port list, 7 env Env list, 8 resources Resources, 9 volumeMounts Mount list
        13 terminationMessagePath, 14 imagePullPolicy, 20 terminationMessagePolicy"""
    ),
    "Port": table("1 name, 2 hostPort int, 3 containerPort int, 4 protocol, 5 hostIP"),
    "Env": table("1 name, 2 value"),
    "Resources": table("1 limits Quantity map, 2 requests Quantity map"),
    "Mount": table("1 name, 2 readOnly bool, 3 mountPath, 4 subPath"),
    "Toleration": table("1 key, 2 operator, 3 value, 4 effect, 5 tolerationSeconds int"),
}
"""The fields of each message that a kubelet sends."""
