"""Joining with --bootstrap-kubeconfig: pkg/kubelet/certificate/bootstrap/bootstrap.go."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import errno_text, read_file
from hollow_common.log import log
from hollow_common.tls import pem_blocks, write_file

from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.client_certificate import (
    PREFIX,
    Pair,
    Store,
    new_key,
    request_certificate,
    validity,
)
from hollow_kubelet.kubeconfig import ClientConfig, client_config

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS = 60.0
PAUSE = 2.0
TEMPORARY_KEY = "kubelet-client.key.tmp"


class Bootstrap:
    """Gets the first certificate of a node, and writes the kubeconfig that names it."""

    def __init__(self, kubeconfig: str, bootstrap_kubeconfig: str, folder: str, node: str) -> None:
        self.kubeconfig = kubeconfig
        self.bootstrap_kubeconfig = bootstrap_kubeconfig
        self.folder = folder
        self.node = node
        self.store = Store(folder)

    def needed(self) -> bool:
        """Whether there is no kubeconfig, or from 1.10 on none whose certificate is valid."""
        if not self.bootstrap_kubeconfig:
            return False
        if not os.path.exists(self.kubeconfig):
            return True
        return since(10) and not self.still_valid()

    def still_valid(self) -> bool:
        """Whether the kubeconfig's certificate can still be used: isClientConfigStillValid."""
        where = self.kubeconfig
        try:
            config = client_config(where)
            if "CERTIFICATE" not in pem_blocks(config.certificate):
                raise Failure("data does not contain any valid RSA or ECDSA certificates")
            end = validity(config.certificate)[1]
        except Failure as error:
            problem = "unable to read existing bootstrap client config"
            log("E", "bootstrap.go:256", f"{problem} from {where}: {error}")
            return False
        if end < time.time():
            shown = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(end))
            problem = f"part of the existing bootstrap client certificate in {where} is expired"
            log("E", "bootstrap.go:265", f"{problem}: {shown}")
            return False
        return True

    def load(self) -> ClientConfig:
        """Return what the bootstrap kubeconfig says."""
        try:
            return client_config(self.bootstrap_kubeconfig)
        except Failure as error:
            raise Failure(f"unable to load bootstrap kubeconfig: {error}") from None

    def join(self) -> None:
        """Get the certificate and write the kubeconfig: LoadClientCert."""
        log("I", "bootstrap.go:87", "Using bootstrap kubeconfig to generate TLS client cert, key "
            "and kubeconfig file", level=2)  # fmt: skip
        config = self.load()
        api = ApiServer(config)
        key, forget = self.key()
        wait_for_server(api)
        certificate = request_certificate(api, self.node, key, named=True)
        if since(11):
            self.store.update(Pair(certificate, key))
            forget()
        else:
            self.write_certificate(certificate)
        self.write_kubeconfig(config)

    def first(self) -> Pair:
        """Return the first certificate of a kubelet that rotates certificates, and its key."""
        key = new_key()
        certificate = request_certificate(ApiServer(self.load()), self.node, key, named=False)
        pair = Pair(certificate, key)
        self.store.update(pair)
        return pair

    @property
    def pair(self) -> tuple[str, str]:
        """The paths of the first certificate and of its key: until 1.10, files of their own."""
        if since(11):
            return self.store.current, self.store.current
        path = os.path.join(self.folder, PREFIX)
        return f"{path}.crt", f"{path}.key"

    def write_certificate(self, certificate: bytes) -> None:
        """Write the first certificate beside its key, as until 1.10."""
        path, _ = self.pair
        try:
            write_file(path, certificate, 0o644)
        except OSError as error:
            raise Failure(f"open {path}: {errno_text(error)}") from None

    def key(self) -> tuple[bytes, Callable[[], None]]:
        """Return the key to certify, and what removes the file that keeps it meanwhile."""
        path = os.path.join(self.folder, TEMPORARY_KEY) if since(11) else self.pair[1]

        def forget() -> None:
            if os.path.exists(path):
                os.remove(path)

        current = self.store.load()
        if current and since(11):
            return current.key, forget
        try:
            return read_file(path), forget
        except Failure:
            pass
        key = new_key()
        try:
            os.makedirs(self.folder, 0o755, exist_ok=True)
            write_file(path, key, 0o600)
        except OSError as error:
            raise Failure(f"mkdir {self.folder}: {errno_text(error)}") from None
        return key, forget

    def write_kubeconfig(self, config: ClientConfig) -> None:
        """Write the kubeconfig that names the current certificate."""
        cluster = f"    server: {config.server}\n"
        if config.insecure:
            cluster = f"    insecure-skip-tls-verify: true\n{cluster}"
        if config.ca:
            data = base64.b64encode(config.ca).decode()
            cluster = f"    certificate-authority-data: {data}\n{cluster}"
        certificate, key = self.pair
        preferences = "" if since(34) else "preferences: {}\n"
        text = (
            f"apiVersion: v1\nclusters:\n- cluster:\n{cluster}  name: default-cluster\n"
            "contexts:\n- context:\n    cluster: default-cluster\n    namespace: default\n"
            "    user: default-auth\n  name: default-context\ncurrent-context: default-context\n"
            f"kind: Config\n{preferences}users:\n- name: default-auth\n  user:\n"
            f"    client-certificate: {certificate}\n    client-key: {key}\n"
        )
        folder = os.path.dirname(self.kubeconfig)
        try:
            os.makedirs(folder or ".", 0o755, exist_ok=True)
            write_file(self.kubeconfig, text.encode(), 0o600)
        except OSError as error:
            raise Failure(f"open {self.kubeconfig}: {errno_text(error)}") from None


def wait_for_server(api: ApiServer) -> None:
    """Wait until the API server answers, but for no longer than a minute."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            api.request("GET", "/healthz")
            return
        except ApiError as error:
            log("I", "bootstrap.go:294", f"Failed to connect to apiserver: {error}")
        if time.monotonic() + PAUSE > end:
            problem = "timed out waiting to connect to apiserver"
            log("I", "bootstrap.go:150", f"Error waiting for apiserver to come up: {problem}")
            return
        time.sleep(PAUSE)
