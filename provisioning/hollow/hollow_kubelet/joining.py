"""How the kubelet gets to its API server: createClientConfig and what follows, in server.go."""

from __future__ import annotations

import time

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import in_background
from hollow_common.log import log, structured

from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.bootstrap import Bootstrap
from hollow_kubelet.client_certificate import Store
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.kubeconfig import ClientConfig, client_config
from hollow_kubelet.node import Node
from hollow_kubelet.rotation import Rotation

STANDALONE = "standalone mode, no API client"


class Joining:
    """Connects a node with its API server, with a certificate that it gets and renews."""

    def __init__(self, flags: FlagSet, node: Node) -> None:
        self.flags = flags
        self.node = node
        self.standalone = not (
            flags["require-kubeconfig"]
            or (flags["kubeconfig"] and flags.changed("kubeconfig") and since(8))
            or (flags["api-servers"] and not since(8))
        )
        self.broken = False
        self.first: Bootstrap | None = None

    def bootstrap(self) -> None:
        """Get the node's certificate and kubeconfig if there are none, as the version does.

        From 1.11 on a kubelet that rotates certificates starts without, and gets it meanwhile.
        """
        flags = self.flags
        path = flags["bootstrap-kubeconfig"] or flags["experimental-bootstrap-kubeconfig"]
        joining = Bootstrap(flags["kubeconfig"], path, flags["cert-dir"], self.node.name)
        if not joining.needed():
            return
        if self.rotates() and since(11):
            config = joining.load()
            self.first = joining
            joining.write_kubeconfig(config)
        else:
            joining.join()

    def rotates(self) -> bool:
        """Whether the kubelet renews its client certificate."""
        return since(8) and bool(self.flags["rotate-certificates"])

    def follow(self, api: ApiServer) -> None:
        """Work with the API server: get or renew the certificate, register and report."""
        if self.first:
            while True:
                try:
                    pair = self.first.first()
                    break
                except (ApiError, Failure) as error:
                    problem = "Failed while requesting a signed certificate from the master"
                    log("E", "certificate_manager.go:437", f"{problem}: {error}")
                    time.sleep(2)
            api.use(*pair)
        if self.rotates() and api.secure:
            certificate = pair.certificate if self.first else api.config.certificate
            if certificate:
                store = Store(self.flags["cert-dir"])
                in_background(Rotation(api, store, self.node.name, certificate).follow)
        self.node.follow(api)

    def api_server(self) -> ApiServer | None:
        """Return the connection to the API server that the flags ask for.

        In 1.7 --kubeconfig counts only with --require-kubeconfig or --api-servers; until 1.9 a
        wrong one is no error without --require-kubeconfig, and one that is right but whose
        credentials cannot be used leaves a nil client behind.
        """
        if since(11):
            return self.new_api_server()
        flags = self.flags
        if flags["require-kubeconfig"] and since(8):
            advice = "Set --kubeconfig without using --require-kubeconfig."
            log("W", "server.go:285", f"--require-kubeconfig is deprecated. {advice}")
        try:
            config = self.client_config()
        except Failure as error:
            if flags["require-kubeconfig"] or (since(10) and not self.standalone):
                raise Failure(f"invalid kubeconfig: {error}") from None
            if self.standalone:
                text = STANDALONE if since(8) else f"No API client: {error}"
                log("W", "server.go:496", text)
            else:
                log("W", "server.go:493", f"{'i' if since(8) else 'I'}nvalid kubeconfig: {error}")
            return None
        try:
            return ApiServer(config)
        except Failure as error:
            for line in (471, 479):
                where = f"server.go:{line}"
                log("W", where, f"New kubeClient from clientConfig error: {error}")
            log("W", "server.go:487", f"Failed to create API Server client: {error}")
            self.broken = True
            return None

    def new_api_server(self) -> ApiServer | None:
        """Return the connection to the API server as from 1.11 on: all that is wrong is fatal."""
        if self.standalone:
            text = structured("Standalone mode, no API client") if since(21) else STANDALONE
            log("I" if since(21) else "W", "server.go:556", text)
            return None
        self.bootstrap()
        try:
            # The certificate that the kubeconfig names is not there before the node has joined.
            path = self.first.bootstrap_kubeconfig if self.first else self.flags["kubeconfig"]
            config = client_config(path)
            if self.first:
                config = config._replace(token="", certificate=b"", key=b"")
        except Failure as error:
            raise Failure(f"invalid kubeconfig: {error}") from None
        try:
            return ApiServer(config)
        except Failure as error:
            raise Failure(f"failed to initialize kubelet client: {error}") from None

    def client_config(self) -> ClientConfig:
        """Return how to reach the API server: createClientConfig, until 1.10."""
        flags = self.flags
        path = flags["kubeconfig"]
        if flags["require-kubeconfig"] or (since(8) and not self.standalone):
            return client_config(path)
        if self.standalone:
            raise Failure(STANDALONE if since(8) else "no api servers specified")
        server = flags["api-servers"][0]
        try:
            return client_config(path, server)
        except Failure as error:
            if flags.changed("kubeconfig"):
                raise
            problem = f"Could not load kubeconfig file {path}: {error}."
            log("W", "server.go:825", f"{problem} Using default client config instead.")
            return ClientConfig(server)
