"""What the kubelet itself answers on its ports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from cryptography import x509

from pytest_kubecluster.nodes.parts import Answer
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.nodes.verdict.kubeconfig import chains
from pytest_kubecluster.spec.flags import FlagError
from pytest_kubecluster.spec.kinds import SettingError, canonical_name, setting_name, setting_text
from pytest_kubecluster.spec.settings import same_value
from pytest_kubecluster.spec.translate import configz_fields

_UNAUTHORIZED, _FORBIDDEN, _ERROR, _OK = 401, 403, 500, 200
_NO_RIGHT = "authorization-mode is Webhook: the kubelet itself has no right to nodes/proxy"
_NOT_ASKED = "authorization-mode is Webhook, and the kubelet cannot ask the API server"


def healthz_is_ok(case: Case) -> Iterator[Difference]:
    """Expect the answer ``ok`` of the healthz port, unless that is off."""
    if not case.seen.ports["healthz"]:
        raise NothingToCheck("healthz is off: the kubelet's healthz port is 0")
    if (answer := case.seen.healthz) != Answer(_OK, "ok"):
        yield _answered(f"port {answer.port}, /healthz", "200 ok", answer)


def anonymous_clients_are_refused(case: Case) -> Iterator[Difference]:
    """Expect that the kubelet's port refuses a client without a certificate."""
    if _setting(case, "anonymous-auth") is True and not case.stated.complete:
        stated = case.stated.settings.values()
        if any(one.name.endswith(("anonymous.enabled", "anonymous-auth")) for one in stated):
            raise NothingToCheck("the spec allows anonymous clients")
    answer = case.seen.anonymous
    # An anonymous client that has to be authorized is forbidden.
    refused = (_UNAUTHORIZED,) if case.stated.complete else (_UNAUTHORIZED, _FORBIDDEN)
    if answer.status not in refused and (case.stated.complete or not _cannot_ask(answer)):
        yield _answered(f"port {answer.port}, anonymous client", "401 Unauthorized", answer)


def own_certificate_is_answered(case: Case) -> Iterator[Difference]:
    """Expect that the kubelet accepts its own certificate, if it authorizes every client."""
    answer = _own(case, case.seen.own)
    if answer != Answer(_OK, "ok"):
        yield _answered(f"port {answer.port}, own certificate, /healthz", "200 ok", answer)


def pods_are_listed(case: Case) -> Iterator[Difference]:
    """Expect a list of pods."""
    answer = _own(case, case.seen.pods)
    kind = None
    if answer.status == _OK:
        try:
            kind = json.loads(answer.body)["kind"]
        except (ValueError, KeyError, TypeError):
            kind = None
    if kind != "PodList":
        yield _answered(f"port {answer.port}, /pods", "200, a PodList", answer)


def configz_agrees_with_the_spec(case: Case) -> Iterator[Difference]:
    """Expect on /configz the stated settings that it shows."""
    answer = _own(case, case.seen.configz_answer)
    shown = case.seen.configured
    if not shown:
        yield _answered(f"port {answer.port}, /configz", "the kubelet's configuration", answer)
        return
    for name, wanted, place in _stated(case):
        found = shown.get(name)
        if found is None and not case.stated.complete:
            continue
        if not same_value(case.seen.read_as, name, wanted, found.value if found else None):
            yield _difference(case, name, wanted, found.value if found else None, place)


def _stated(case: Case) -> Iterator[tuple[str, Any, str]]:
    """Yield the stated settings that /configz can show: name, value and place."""
    if not case.stated.complete:
        for setting in case.stated.settings.values():
            yield setting.name, setting.value, setting.said_in
        return
    for flag in case.kubelet.shown_by_configz:
        with suppress(SettingError):
            name = canonical_name(case.seen.read_as, flag)
            path = configz_fields(case.seen.read_as)[flag]
            wanted = case.kubelet.settings[flag]
            yield (name if name in case.seen.configured else path), wanted, "spec"


def configz_agrees_with_flags_and_files(case: Case) -> Iterator[Difference]:
    """Expect /configz to show what the process's flags and the files on the disk state."""
    # Whatever made the kubelet show it: the files may have changed since.
    shown = case.seen.configured
    if not shown:
        _own(case, case.seen.configz_answer)
        raise NothingToCheck("/configz is not shown")
    try:
        effective = case.seen.effective
    except FlagError:
        raise NothingToCheck("the command line cannot be read") from None
    for name in effective:
        said = case.seen.stated(name)
        if said and name in shown:
            actual = shown[name].value
            if not same_value(case.seen.read_as, name, said.value, actual):
                yield _difference(case, name, said.value, actual, said.said_in)


def ports_are_held_by_the_kubelet(case: Case) -> Iterator[Difference]:
    """Expect the unit's kubelet to be the listener on the kubelet's ports."""
    process = case.seen.process
    if process is None:
        raise NothingToCheck("no kubelet runs")
    for port in case.seen.ports.values():
        holder = case.seen.holders.get(port)
        if holder and holder[0] != process.pid:
            actual = f"{' '.join(holder[1])} (pid {holder[0]})"
            yield Difference(f"port {port}", "the kubelet", actual, Evidence.PORTS)


def serving_certificate_is_valid_now(case: Case) -> Iterator[Difference]:
    """Expect a serving certificate that is in date on the node."""
    pem = case.seen.anonymous.certificate
    if not pem:
        raise NothingToCheck("the kubelet's port serves no certificate")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    now = datetime.fromtimestamp(case.seen.time, timezone.utc)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        actual = f"valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}, and now is {now:%Y-%m-%d}"
        yield Difference("serving certificate", "valid now", actual, Evidence.PORTS)


def serving_certificate_is_signed_by_the_ca(case: Case) -> Iterator[Difference]:
    """Expect a serving certificate of the client CA, for the node's name and addresses."""
    if not case.kubelet.signed_serving:
        raise NothingToCheck("the spec does not say that a CA signs the serving certificate")
    answer, seen = case.seen.anonymous, case.seen
    if not answer.certificate:
        yield _answered(f"port {answer.port}, serving certificate", "one of the CA", answer)
        return
    certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    # A client CA that cannot be read is another check's.
    authorities = seen.client_ca.certificates
    if authorities and not chains([answer.certificate], authorities):
        actual = f"signed by {certificate.issuer.rfc4514_string()}"
        wanted = f"signed by {seen.client_ca.path}"
        yield Difference("serving certificate", wanted, actual, Evidence.PORTS)
    names = _names(certificate)
    for name in (seen.registered_name, *map(str, seen.node_ips)):
        if name not in names:
            shown = ", ".join(names) or None
            yield Difference(f"serving certificate for {name}", name, shown, Evidence.PORTS)


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for."""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return [str(name.value) for name in extension.value]
    return []


def _own(case: Case, answer: Answer) -> Answer:
    """Return an answer to the kubelet's own certificate, where it must be a good one."""
    seen = case.seen
    if case.stated.complete:
        if (answer.status == _FORBIDDEN or _cannot_ask(answer)) and _states_webhook(case):
            raise NothingToCheck(_not_authorized(answer))
        return answer
    if seen.process is None:
        raise NothingToCheck("no kubelet runs")
    if not seen.ports["kubelet"]:
        raise NothingToCheck("the kubelet's port is 0")
    used = seen.credentials
    if used is None or used.kind != "certificate":
        raise NothingToCheck("the kubelet has no certificate of its own")
    if used.key != "matches":
        raise NothingToCheck(f"its own certificate cannot be used: {used.key}")
    mode = _setting(case, "authorization-mode")
    if mode == "Webhook" and answer.status != _OK:
        raise NothingToCheck(_not_authorized(answer))
    if not seen.client_ca.path:
        raise NothingToCheck("the kubelet has no client CA")
    return answer


def _not_authorized(answer: Answer) -> str:
    return _NOT_ASKED if _cannot_ask(answer) else _NO_RIGHT


def _cannot_ask(answer: Answer) -> bool:
    """Return whether the kubelet says that it could not ask the API server.

    InstallAuthFilter in pkg/kubelet/server/server.go, seen of real kubelets 1.9.8 and 1.36.3.
    """
    return answer.status == _ERROR and answer.body.startswith("Authorization error")


def _states_webhook(case: Case) -> bool:
    names = ("authorization.mode", "authorization-mode")
    stated = (case.stated.settings.get(name) for name in names)
    return any(one is not None and one.value == "Webhook" for one in stated)


def _setting(case: Case, flag: str) -> Any:
    try:
        return case.seen.setting(flag)
    except FlagError:
        return None


def _answered(name: str, expected: str, answer: Answer) -> Difference:
    body = answer.body if len(answer.body) < 200 else f"{answer.body[:200]} …"
    actual = f"{answer.status} {body}" if answer.status else f"no answer: {body}"
    return Difference(name, expected, actual, Evidence.PORTS)


def _difference(case: Case, name: str, expected: Any, actual: Any, place: str) -> Difference:
    return Difference(
        setting_name(case.seen.read_as, name),
        setting_text(case.seen.read_as, name, expected),
        None if actual is None else setting_text(case.seen.read_as, name, actual),
        Evidence.PORTS,
        place,
        "/configz",
    )
