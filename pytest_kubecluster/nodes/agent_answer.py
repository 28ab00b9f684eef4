"""Read what the node agent answers into the parts of an observation."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from pytest_kubecluster.nodes.parts import (
    Address,
    Answer,
    Authority,
    Document,
    File,
    Kubeconfig,
    Process,
    Proxy,
    Running,
    StaticPods,
)
from pytest_kubecluster.util.encoding import base64_text


def fields_of(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an observation, by name, from the agent's answer."""
    version = seen["version"]
    lock = seen["lock_file"] or {}
    pods = seen["static_pods"]
    verify = seen["verify"] or {"status": -1, "output": seen["problems"].get("verify", "")}
    return {
        "time": seen["time"],
        "monotonic": seen["monotonic"],
        "hostname": seen["hostname"],
        "unit": seen["unit"],
        "unit_files": {
            path: (one["kind_of_file"], None if one.get("missing") else _file(path, one))
            for path, one in seen["unit_files"].items()
        },
        "triggers": seen["triggers"] or {},
        "resolved": seen["resolved"],
        "verify": (verify["status"], verify["output"].strip()),
        "failed_units": tuple(seen["failed_units"] or ()),
        "journal": tuple(seen["journal"] or ()),
        "process": _process(seen["kubelet"]),
        "kubelets": tuple(
            Running(one["pid"], tuple(one["argv"]), one.get("unit", "")) for one in seen["kubelets"]
        ),
        "unit_processes": tuple(map(tuple, seen["unit_processes"])),
        "said_version": version["text"],
        "version_source": version["source"] or version.get("problem", ""),
        "documents": tuple(map(_document, seen["configuration"])),
        "credentials": _kubeconfig(seen["kubeconfig"], seen["problems"].get("kubeconfig", "")),
        "client_ca": _authority(seen["client_ca"]),
        "proxy": _proxy(seen.get("proxy") or {}),
        "addresses": tuple(map(_interface_address, seen["addresses"] or ())),
        "files": {path: one and _file(path, one) for path, one in seen["files"].items()},
        "lock_file": _file(lock["path"], lock["file"]) if lock.get("file") else None,
        "lock_path": lock.get("path", ""),
        "static_pods": pods
        and StaticPods(
            pods["path"], pods["file"] and _file(pods["path"], pods["file"]), tuple(pods["names"])
        ),
        "ports": seen["ports"],
        "holders": {
            int(port): (one["pid"], tuple(one["argv"])) for port, one in seen["holders"].items()
        },
        "answers": {
            name: Answer(one["status"], one["body"], one["port"], one.get("certificate", ""))
            for name, one in seen["answers"].items()
            if one
        },
        "resolv_conf": seen["resolv_conf"],
        "problems": seen["problems"],
    }


def _interface_address(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _file(path: str, seen: Mapping[str, Any]) -> File:
    content = base64.b64decode(seen["content"]) if "content" in seen else None
    return File(
        path,
        seen["owner"],
        seen["group"],
        seen["mode"],
        seen["kind"],
        seen.get("sha256", ""),
        content,
        bool(seen.get("cut")),
        seen.get("problem", ""),
    )


def _process(seen: Mapping[str, Any] | None) -> Process | None:
    if seen is None:
        return None
    file = seen["program_file"]
    return Process(
        seen["pid"],
        tuple(seen["argv"]),
        seen["main"],
        seen["program"],
        file and _file(seen["program"], file),
        seen["replaced"],
        bool(seen["root"]),
    )


def _document(seen: Mapping[str, Any]) -> Document:
    file = _file(seen["path"], seen) if "owner" in seen else None
    return Document(
        seen["path"],
        file,
        seen.get("document", {}),
        seen.get("problem", ""),
        bool(seen.get("drop_in")),
    )


def _authority(seen: Mapping[str, Any]) -> Authority:
    path, file = seen.get("path", ""), seen.get("file")
    return Authority(
        path,
        tuple(seen.get("certificates", ())),
        seen.get("problem", ""),
        _file(path, file) if file else None,
        _file(seen["key_path"], seen["key_file"]) if seen.get("key_file") else None,
    )


def _proxy(seen: Mapping[str, Any]) -> Proxy:
    configuration, kubeconfig = seen.get("configuration"), seen.get("kubeconfig") or {}
    path, file = kubeconfig.get("path", ""), kubeconfig.get("file")
    return Proxy(
        tuple(seen.get("argv", ())),
        bool(seen.get("contained")),
        _document(configuration) if configuration else None,
        path,
        _file(path, file) if file else None,
    )


def _kubeconfig(seen: Mapping[str, Any] | None, problem: str) -> Kubeconfig | None:
    if seen is None:
        return Kubeconfig("", None, problem=problem) if problem else None
    path = seen["path"]
    return Kubeconfig(
        path=path,
        file=_file(path, seen["file"]) if seen.get("file") else None,
        document=_with_certificates(seen),
        problem=seen.get("problem", ""),
        choice=seen.get("choice", ""),
        server=seen.get("server", ""),
        insecure=bool(seen.get("insecure")),
        authority=_authority(seen.get("authority", {})),
        kind=seen.get("kind", ""),
        certificates=tuple(seen.get("certificates", ())),
        key=seen.get("key", ""),
        files={
            name: (_file(name, one) if "owner" in one else None, bool(one["secret"]))
            for name, one in seen.get("files", {}).items()
        },
        bootstrap=_kubeconfig(seen.get("bootstrap"), ""),
    )


def _with_certificates(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a kubeconfig's document; what its context uses from files is in it, as if embedded."""
    document: Mapping[str, Any] = seen.get("document", {})
    authority = seen.get("authority", {}).get("certificates", ())
    found = {
        ("clusters", seen.get("cluster")): ("certificate-authority", authority),
        ("users", seen.get("user")): ("client-certificate", seen.get("certificates", ())),
    }
    result = dict(document)
    for (kind, name), (key, certificates) in found.items():
        entries = []
        for entry in document.get(kind) or ():
            body = entry.get(kind[:-1]) if isinstance(entry, Mapping) else None
            if certificates and isinstance(body, Mapping) and (entry.get("name") or "") == name:
                data = base64_text("".join(certificates).encode())
                entry = {**entry, kind[:-1]: {f"{key}-data": data, **body}}
            entries.append(entry)
        if entries:
            result[kind] = entries
    return result
