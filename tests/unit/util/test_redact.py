from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.util.redact import REDACTED, copy_redacted, redact, secrets_in

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def key(pki: Pki) -> str:
    return pki.kubelet_key.decode()


def parts(key: str) -> list[str]:
    """What must not be found of a key: its lines, and those of its base64."""
    encoded = base64.b64encode(key.encode()).decode()
    pieces = [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    return pieces + [encoded[start : start + 40] for start in range(40, len(encoded) - 40, 40)]


def leaked(text: str, key: str) -> list[str]:
    flat = "".join(text.split())
    return [part for part in parts(key) if part in flat]


def kubeconfig(key_text: str, **user: str) -> dict[str, object]:
    encoded = base64.b64encode(key_text.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "users": [{"name": "kubelet", "user": {"client-key-data": encoded, **user}}],
        "current-context": "kubelet",
    }


def plain(key: str) -> str:
    return yaml.safe_dump(kubeconfig(key), width=100_000)


def quoted(key: str) -> str:
    return yaml.safe_dump(kubeconfig(key), default_style='"', width=100_000)


def block_scalar(key: str, style: str = "|") -> str:
    encoded = textwrap.wrap(base64.b64encode(key.encode()).decode(), 64)
    lines = [
        "users:",
        "- name: kubelet",
        "  user:",
        f"    client-key-data: {style}",
        *(f"      {line}" for line in encoded),
        "current-context: kubelet",
    ]
    return "\n".join(lines) + "\n"


def parsed(text: str) -> dict[str, object]:
    """The last document of a text; JSON may be indented with tabs, and YAML may not."""
    document = json.loads(text) if text.startswith("{\n") else list(yaml.safe_load_all(text))[-1]
    assert isinstance(document, dict)
    return document


KUBECONFIGS: dict[str, Callable[[str], str]] = {
    "plain": plain,
    "quoted keys": quoted,
    "folded quotes": lambda key: yaml.safe_dump(kubeconfig(key), default_style='"', width=60),
    "JSON": lambda key: json.dumps(kubeconfig(key)),
    "indented JSON": lambda key: json.dumps(kubeconfig(key), indent="\t"),
    "literal block scalar": block_scalar,
    "folded block scalar": lambda key: block_scalar(key, ">-"),
    "value on the next line": lambda key: block_scalar(key, ""),
    "binary tag": lambda key: block_scalar(key, "!!binary |"),
    "anchor": lambda key: plain(key).replace("client-key-data: ", "client-key-data: &key "),
    "flow style": lambda key: yaml.safe_dump(kubeconfig(key), default_flow_style=True, width=9999),
    "Windows line ends": lambda key: block_scalar(key).replace("\n", "\r\n"),
    "several documents": lambda key: f"---\n{plain(key)}---\n{quoted(key)}",
}


@pytest.mark.parametrize("form", KUBECONFIGS)
def test_kubeconfig_loses_its_key_and_nothing_else(form: str, key: str) -> None:
    text = KUBECONFIGS[form](key)
    cut = redact(text)
    assert not leaked(cut, key), cut
    document = parsed(cut)
    assert document.pop("users") == [{"name": "kubelet", "user": {"client-key-data": REDACTED}}]
    before = parsed(text)
    before.pop("users")
    assert document == before


@pytest.mark.parametrize("form", KUBECONFIGS)
def test_broken_kubeconfig_loses_its_key_too(form: str, key: str) -> None:
    text = KUBECONFIGS[form](key)
    assert not leaked(redact(f"{text}\n}} ]: not YAML: ["), key)


@pytest.mark.parametrize("form", KUBECONFIGS)
def test_key_is_not_found_in_a_log_that_holds_the_kubeconfig(form: str, key: str) -> None:
    text = KUBECONFIGS[form](key)
    diff = "".join(f"+{line}\n" for line in text.splitlines())
    encoded = base64.b64encode(text.encode()).decode()
    for logged in (
        f"TASK [copy]\n--- before\n+++ after\n{diff}\nchanged: [master01]\n",
        json.dumps({"diff": {"after": text}}),
        json.dumps({"stdout": json.dumps({"content": text})}),
        f'"content": "{encoded}"',
        "\n".join(textwrap.wrap(encoded, 76)),
        "\n".join(f"+{line}" for line in textwrap.wrap(encoded, 76)),
    ):
        assert not leaked(redact(logged), key), logged


def test_redacting_twice_changes_nothing_more(key: str) -> None:
    for form in KUBECONFIGS.values():
        once = redact(form(key))
        assert redact(once) == once


@pytest.mark.parametrize(
    "private",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ed25519", "ec", "rsa"],
)
@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8", "OpenSSH"])
def test_private_key_in_pem_of_any_kind_is_removed(
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, form: str
) -> None:
    if form == "TraditionalOpenSSL" and isinstance(private, ed25519.Ed25519PrivateKey):
        form = "PKCS8"
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    ).decode()
    assert redact(f"before\n{pem}after\n") == f"before\n{REDACTED}\nafter\n"
    assert redact(json.dumps({"msg": pem})) == json.dumps({"msg": f"{REDACTED}\n"})
    assert not leaked(redact(f"before\n{pem[:-40]}"), pem)


def test_known_key_is_found_without_its_frame_and_in_part(key: str) -> None:
    body = key.splitlines()[1:-1]
    for sign in ("", "+", "    +", "-", "+    "):
        diff = "".join(f"{sign}{line}\n" for line in body)
        assert not leaked(redact(f"before\n{diff}after", [key]), key)
    assert not leaked(redact(body[7], [key]), key)
    rewrapped = "\n".join(textwrap.wrap("".join(body), 48))
    assert not leaked(redact(rewrapped, [key]), key)
    assert not leaked(redact("\\n".join(body), [key]), key)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_known_key_is_found_wherever_it_begins_within_base64(before: str, key: str) -> None:
    encoded = base64.b64encode(f"{before}{key}".encode()).decode()
    wrapped = "\n".join(textwrap.wrap(encoded, 76)[3:])
    assert not leaked(redact(wrapped, [key]), key)


def test_certificates_and_text_stay(pki: Pki) -> None:
    certificate = base64.b64encode(pki.ca_cert).decode()
    text = textwrap.dedent(
        f"""\
        certificate-authority-data: {certificate}
        {pki.kubelet_cert.decode()}
        ExecStart=/usr/lib/coreos/kubelet-wrapper --authentication-token-webhook=true \\
          --authentication-token-webhook-cache-ttl=10s --kubeconfig=/etc/kubernetes/kubeconfig
        Aug 09 kubelet[77]: I0809 10:00:00 server.go:370] Kubelet is using /usr/lib/python3/dist-packages/ansible
        authentication:
          webhook:
            enabled: true
        automountServiceAccountToken: false
        token: null
        tokenFile: /var/run/secrets/token
        see https://kubernetes.io/docs:443/@latest and core@10.0.0.1:22
        """
    )
    assert redact(text, [pki.kubelet_key.decode()]) == text


@pytest.mark.parametrize(
    "text",
    [
        "token: {}",
        "token: '{}'",
        '"token": "{}"',
        '{{"token": "{}", "name": "x"}}',
        '{{\\"token\\": \\"{}\\", \\"name\\": \\"x\\"}}',
        "password: {}",
        "PASSWORD={}",
        "ansible_become_password={}",
        "password = {}",
        '"ansible_become_pass": "{}"',
        "--token={} --other",
        "clientSecret: {}",
        "id-token: {}",
        "token: |\n  {}\nname: x",
        "- token:\n    {}\n- name: x: y: z",
        "+    password: >-\n+      {}\n+    name: [",
        "Authorization: Bearer {}",
        "https://user:{}@registry.example/v2/",
        "https://:{}@registry.example/v2/",
    ],
)
def test_token_or_password_is_removed(text: str) -> None:
    cut = redact(text.format(TOKEN))
    assert TOKEN not in cut
    assert REDACTED in cut
    assert redact(cut) == cut


def test_siblings_of_a_secret_stay() -> None:
    assert redact("- token:\n  name: x\n") == "- token:\n  name: x\n"
    assert redact("a: {token: abc, name: x}") == f"a: {{token: {REDACTED}, name: x}}"
    cut = redact('{"user": "u", "password": "it\\"s", "name": "x"}')
    assert json.loads(cut) == {"user": "u", "password": REDACTED, "name": "x"}


def test_tokens_are_known_by_their_form() -> None:
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl"
    assert redact(f"got {jwt} here") == f"got {REDACTED} here"
    assert redact("kubeadm join --discovery 07401b.f395accd246ae52d now") == (
        f"kubeadm join --discovery {REDACTED} now"
    )


def test_known_value_is_removed_whatever_it_looks_like() -> None:
    assert redact("sudo said: open sesame!", ["open sesame!"]) == f"sudo said: {REDACTED}"
    encoded = base64.b64encode(b"open sesame! open sesame!").decode()
    assert encoded not in redact(f"it was {encoded}", ["open sesame!"])
    # One that is too short would be found everywhere.
    assert redact("vagrant", ["v"]) == "vagrant"


def test_deeply_nested_document_is_redacted_line_by_line(key: str) -> None:
    text = "[" * 5000 + f'"x", {{"token": "{TOKEN}"}}'
    assert TOKEN not in redact(text)


def test_large_log_takes_no_more_than_one_look(key: str) -> None:
    line = (
        "Aug 09 10:00:00 master01 kubelet[77]: I0809 /usr/lib/python3/dist-packages/x token=abc\n"
    )
    cut = redact(line * 20_000 + "\n" + " " * 20_000 + "\n" + "A" * 100_000 + "-" * 100_000)
    assert cut.count(f"token={REDACTED}") == 20_000


def test_copied_log_is_redacted_and_private(tmp_path: Path, key: str) -> None:
    log = tmp_path / "ansible.log"
    log.write_bytes(b"\xff\xfe " + key.encode())
    log.chmod(0o644)
    copy_redacted(log, log)
    assert log.read_text() == f"�� {REDACTED}\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_secrets_in_of_a_folder_are_collected(tmp_path: Path, pki: Pki) -> None:
    (tmp_path / "noise").write_bytes(b"\xff" * 100)
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "key").write_bytes(pki.ca_key)
    assert set(secrets_in(tmp_path, pki.directory)) == {
        pki.ca_key.decode(),
        pki.kubelet_key.decode(),
    }
