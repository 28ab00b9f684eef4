"""Renewal of the client certificate: k8s.io/client-go/util/certificate/certificate_manager.go."""

from __future__ import annotations

import random
import time

from hollow_common.errors import Failure
from hollow_common.log import log

from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.client_certificate import (
    Pair,
    Store,
    new_key,
    request_certificate,
    validity,
)

FIRST_SHARE, JITTER = 0.7, 0.2
"""A certificate is renewed after this share of its life, and a random part of the jitter."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 128.0


class Rotation:
    """Renews the certificate of a connection before it expires."""

    def __init__(self, api: ApiServer, store: Store, node: str, certificate: bytes) -> None:
        self.api = api
        self.store = store
        self.node = node
        self.certificate = certificate

    def follow(self) -> None:
        """Renew the certificate whenever it is time, forever."""
        while True:
            try:
                due = deadline(self.certificate)
            except Failure as error:
                log("E", "certificate_manager.go:471", f"cannot read the certificate: {error}")
                return
            shown = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(due))
            end = time.strftime(
                "%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(validity(self.certificate)[1])
            )
            text = f"Certificate expiration is {end}, rotation deadline is {shown}"
            log("I", "certificate_manager.go:356", text, level=2)
            time.sleep(max(0.0, due - time.time()))
            self.renew()

    def renew(self) -> None:
        """Get another certificate, and use it from then on; try until it works."""
        pause = FIRST_PAUSE
        log("I", "certificate_manager.go:412", "Rotating certificates", level=2)
        while True:
            try:
                key = new_key()
                certificate = request_certificate(self.api, self.node, key, named=False)
                pair = Pair(certificate, key)
                self.api.use(*pair)
                self.store.update(pair)
                self.certificate = certificate
                return
            except (ApiError, Failure) as error:
                problem = f"Failed while requesting a signed certificate from the master: {error}"
                log("E", "certificate_manager.go:437", problem)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


def deadline(certificate: bytes) -> float:
    """Return when a certificate is to be renewed: nextRotationDeadline."""
    start, end = validity(certificate)
    share = FIRST_SHARE + JITTER * random.SystemRandom().random()
    return start + (end - start) * share
