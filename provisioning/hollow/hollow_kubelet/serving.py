"""The kubelet's serving certificate, which it creates if none is given."""

from __future__ import annotations

import os
import subprocess
import time

from hollow_common.errors import Failure
from hollow_common.go import errno_text, is_ip
from hollow_common.tls import PEM_BLOCK, write_file

from hollow_kubelet.flags import FlagSet


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
