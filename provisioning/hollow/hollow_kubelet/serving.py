"""The kubelet's serving certificate, which it creates if none is given."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import errno_text, is_ip, read_file
from hollow_common.tls import PEM_BLOCK, load_key_pair, write_file

from hollow_kubelet.feature_gates import is_enabled
from hollow_kubelet.flags import FlagSet

if TYPE_CHECKING:
    from collections.abc import Mapping


def serving_files(flags: FlagSet, host: str) -> tuple[str, str]:
    """Return certificate and key of the kubelet's port, creating them if none are given.

    InitializeTLS in cmd/kubelet/app/server.go: files in --cert-dir are reused.
    """
    given = flags["tls-cert-file"], flags["tls-private-key-file"]
    if any(given):
        return given
    folder = flags["cert-dir"]
    paths = os.path.join(folder, "kubelet.crt"), os.path.join(folder, "kubelet.key")
    readable = [os.access(path, os.R_OK) for path in paths]
    if any(readable) and not all(readable):
        missing = paths[readable.index(False)]
        raise Failure(f"error reading {missing}, certificate and key must be supplied as a pair")
    if not all(readable):
        certificate, key = self_signed(host)
        try:
            os.makedirs(folder, 0o755, exist_ok=True)
            write_file(paths[0], certificate, 0o644)
            write_file(paths[1], key, 0o600)
        except OSError as error:
            raise Failure(f"mkdir {folder}: {errno_text(error)}") from None
    return paths


def lacks_certificate(flags: FlagSet, values: Mapping[str, Any], standalone: bool) -> bool:
    """Return whether the port has no certificate, so that no TLS handshake succeeds.

    A certificate that is requested has to be approved first, by hand; and from 1.31 on one without
    its key is not loaded.
    """
    given = flags["tls-cert-file"], flags["tls-private-key-file"]
    if any(given):
        return since(31) and not all(given)
    gates = values.get("featureGates") or flags["feature-gates"]
    gates = gates if isinstance(gates, dict) else {}
    asked = bool(values.get("serverTLSBootstrap")) or not since(11)
    return asked and not standalone and is_enabled("RotateKubeletServerCertificate", gates)


def check_given(flags: FlagSet) -> None:
    """Load certificate and key that are given: from 1.31 on, the kubelet watches their files."""
    given = flags["tls-cert-file"], flags["tls-private-key-file"]
    if not since(31) or not all(given):
        return
    try:
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *map(read_file, given))
    except Failure as error:
        what = "unable to set up dynamic certificate manager for kubelet server cert files"
        step = "failed to initialize file based certificate manager"
        raise Failure(f"{step}: {what}: {error}") from None


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Create a certificate as GenerateSelfSignedCertKey in k8s.io/client-go/util/cert does."""
    kind = "IP" if is_ip(host) else "DNS"
    request = f"""
        [req]
        prompt = no
        distinguished_name = subject
        x509_extensions = extensions
        [subject]
        CN = {host}@{int(time.time())}
        [extensions]
        keyUsage = critical, digitalSignature, keyEncipherment, keyCertSign
        extendedKeyUsage = serverAuth
        basicConstraints = critical, CA:TRUE
        subjectAltName = {kind}:{host}
    """
    command = "openssl req -x509 -config /dev/stdin -newkey rsa:2048 -nodes -sha256 -days 365"
    outputs = "-set_serial 1 -keyout /dev/stdout -out /dev/stdout"
    try:
        made = subprocess.run(
            [*command.split(), *outputs.split()],
            input=request.encode(),
            capture_output=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        problem = 'exec: "openssl": executable file not found in $PATH'
        raise Failure(f"unable to generate self signed cert: {problem}") from None
    except subprocess.CalledProcessError as error:
        problem = error.stderr.decode(errors="replace").strip()
        raise Failure(f"unable to generate self signed cert: {problem}") from None
    blocks = [match[0] + b"\n" for match in PEM_BLOCK.finditer(made)]
    key, certificate = sorted(blocks, key=lambda block: b"BEGIN CERTIFICATE" in block)
    return certificate, key
