"""Removes secrets from text before it reaches a log, a report or a terminal.

Secrets are found by structure and by value. By structure: private keys in PEM, tokens, passwords in
URLs, and the values of keys such as ``client-key-data`` in YAML and JSON, however these are quoted
and wrapped. Base64 is decoded, since a kubeconfig holds a key as base64, and a log may hold a whole
kubeconfig as base64. By value: the secrets that the caller knows, whole or in part, as they are or
as base64.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from pytest_kubecluster.util.atomic import write_atomically

REDACTED = "REDACTED"
"""What stands where a secret was, as in ``kubectl config view``."""

_SECRET_NAME = (
    r"client-key-data|clientKeyData|clientSecret|(?:id|access|refresh|bearer)Token"
    r"|(?:[\w.-]*[-_])?(?:password|passwd|passphrase|token(?:[-_]secret)?|client[-_]secret|secret[-_](?:access[-_])?key)"
    r"|ansible_(?:become|ssh|sudo|su)_pass"
)
_IS_SECRET_NAME = re.compile(_SECRET_NAME, re.IGNORECASE)
_ASSIGNMENT = re.compile(
    # The name may be quoted, and the quotes escaped: a log may hold JSON within JSON.
    rf"""
    (?<![\w.-])
    (?P<start>(?:--)?(?P<quote>\\*["']?)(?:{_SECRET_NAME})(?P=quote)\s*[:=][ \t]*(?:!\w+[ \t]+)?)
    (?P<value>
        \\*"(?:[^"\\\n]|\\+[^"\n])*\\*" | '(?:[^'\n]|'')*' | [^\s,;}}\]"'\\|>][^\s,;}}\]"'\\]*
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WRAPPED = re.compile(
    # A block scalar, or a value that begins on the next line. In diff mode, a sign begins a line.
    rf"""
    ^(?P<sign>[+-]?)(?P<indent>[ ]*)(?P<item>-[ ]+)?
    (?P<quote>["']?)(?:{_SECRET_NAME})(?P=quote):[ \t]*(?:[|>][-+\d]*)?[ \t]*\n
    (?P<value>(?:(?P=sign)(?P=indent)(?(item)[ ][ ])[ ]+\S.*(?:\n|\Z))+)
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_NOT_SECRET = re.compile(r"(?:|null|~|true|false|none|[\d.]+)", re.IGNORECASE)
"""Values that give nothing away: switches and numbers are settings of a token, not the token."""
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    # Where the end was cut off, whatever looks like the rest of the key goes.
    r"(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY-----|(?:[A-Za-z0-9+/=\s\\]|\\n)*)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"(?<=\bBearer )[\w.~+/-]+=*"
    # A JSON Web Token, as service accounts have; a bootstrap token of kubeadm.
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?<![\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.-])"
)
_BOOTSTRAP_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@\"']*):[^/\s@\"']+(?=@)")
# The n of an escaped newline is not part of the word behind it.
_BASE64_WORD = re.compile(r"((?<=\\)[nr])?([A-Za-z0-9+/_-]{16,}={0,2})")
_NEW_LINE = r"[ \t]*(?:\r?\n|(?:\\+r)?\\+n)[ \t]*(?:[+-][ \t]+)?"
_LINE_END = re.compile(_NEW_LINE)
_BASE64_RUN = re.compile(
    # Words on lines that follow each other, where the end of a line may be escaped.
    rf"[A-Za-z0-9+/_-]{{24,}}={{0,2}}(?:{_NEW_LINE}[A-Za-z0-9+/_-]{{4,}}={{0,2}}(?![\w:]))*"
)
_LARGEST_DOCUMENT = 1 << 18
_DEPTH = 4
"""How many times base64 within base64 is decoded."""
_SHORTEST = 6
"""A known secret that is shorter is not looked for: it would be found everywhere."""
_LARGEST_KEY_FILE = 1 << 16


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` with every secret replaced by ``REDACTED``.

    ``secrets`` are values to remove whatever they look like, such as the keys that this run made.
    The rest of a document is unchanged, byte by byte: a kubeconfig stays a kubeconfig.
    """
    return _Redaction(secrets).of(text, _DEPTH)


def copy_redacted(source: Path, target: Path, secrets: Iterable[str] = ()) -> None:
    """Write the text file ``source`` to ``target`` without secrets, readable by its owner only.

    ``target`` may be ``source``. Raises KubeClusterError where it cannot be written, and OSError
    where the source cannot be read.
    """
    text = source.read_bytes().decode("utf-8", "replace")
    write_atomically(target, redact(text, secrets).encode(), 0o600)


def secrets_in(*folders: Path) -> tuple[str, ...]:
    """Return every private key and every bootstrap token that a file below ``folders`` holds.

    The second half of a token, which is the secret one, is a secret of its own.
    """
    return tuple(_secrets_in(folders))


def _secrets_in(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            try:
                if not path.is_file() or path.stat().st_size > _LARGEST_KEY_FILE:
                    continue
                text = path.read_text()
            except (OSError, UnicodeDecodeError):
                continue
            if text.startswith("-----BEGIN") and _PEM.match(text):
                yield text
            elif _BOOTSTRAP_TOKEN.fullmatch(text):
                yield from (text, text.partition(".")[2])


class _Redaction:
    """The removal of a given set of known secrets, and of everything that looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret.strip()) >= _SHORTEST]
        self._lines = sorted({s.strip() for s in known if "\n" not in s.strip()}, key=len)[::-1]
        # Where a log wraps a key anew, each line is still a part of one of these.
        self._encoded = "\n".join(form for secret in known for form in _forms(secret))

    def of(self, text: str, depth: int) -> str:
        text = _redact_document(text)
        text = _PEM.sub(REDACTED, text)
        for secret in self._lines:
            text = text.replace(secret, REDACTED)
        text = _BASE64_RUN.sub(lambda match: self._run(match[0], depth), text)
        if self._encoded:
            text = _BASE64_WORD.sub(self._word, text)
        text = _WRAPPED.sub(_redact_wrapped, text)
        text = _ASSIGNMENT.sub(_redact_assignment, text)
        text = _TOKEN.sub(REDACTED, text)
        return _URL_PASSWORD.sub(rf"\1:{REDACTED}", text)

    def _word(self, match: re.Match[str]) -> str:
        word = match[2].rstrip("=")
        # In diff mode, a sign begins a line, and may be taken for a part of the word.
        known = word in self._encoded or (word[0] in "+-" and word[1:] in self._encoded)
        return f"{match[1] or ''}{REDACTED}" if known else match[0]

    def _run(self, run: str, depth: int) -> str:
        """Return a run of base64 as it is, or redacted if a secret is encoded in it."""
        if depth == 0:
            return run
        lines = _LINE_END.split(run)
        sign = lines[-1][0]
        if sign in "+-" and all(line[0] == sign for line in lines[1:]):
            lines[1:] = [line[1:] for line in lines[1:]]
        words = ["".join(lines), *lines] if len(lines) > 1 else lines
        return REDACTED if any(self._hides_secret(word, depth) for word in words) else run

    def _hides_secret(self, word: str, depth: int) -> bool:
        plain = word.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        # A part of an encoded text begins anywhere: one of four offsets is the right one.
        for offset in range(4):
            if _is_text(_decoded(plain[offset : offset + 256])):
                text = _decoded(plain[offset:]).decode("utf-8", "replace")
                return self.of(text, depth - 1) != text
        return False


def _decoded(word: str) -> bytes:
    """Decode base64 that may be cut off; return nothing for other text."""
    if len(word) % 4 == 1:
        word = word[:-1]
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4))
    except ValueError:
        return b""


def _forms(secret: str) -> Iterator[str]:
    """Yield what a secret looks like as one line of base64: itself, if it is PEM, and encoded."""
    for text in dict.fromkeys((secret, secret.strip(), secret.strip() + "\n")):
        for before in ("", "-", "--"):
            # Within a longer text, base64 depends on where the secret begins.
            encoded = base64.b64encode(before.encode() + text.encode()).decode()
            yield encoded[4 * bool(before) :].rstrip("=")
    if secret.lstrip().startswith("-----BEGIN"):
        yield "".join(line for line in secret.splitlines() if "-----" not in line)


def _is_text(data: bytes) -> bool:
    """Return whether decoded bytes are text, not a certificate or a word that looks like base64."""
    return bool(data) and all(byte >= 0x20 or byte in b"\t\n\r" for byte in data)


def _redact_document(text: str) -> str:
    """Redact a whole YAML or JSON document; return other text unchanged."""
    if len(text) > _LARGEST_DOCUMENT or not _IS_SECRET_NAME.search(text):
        return text
    try:
        roots = list(yaml.compose_all(text, yaml.SafeLoader))
        spans = {span for root in roots for span in _secret_spans(root, set())}
    except (yaml.YAMLError, RecursionError):
        return text
    for start, end in sorted(spans, reverse=True):
        # JSON needs its quotes; the newline after a block scalar belongs to the scalar.
        quote = text[end - 1] if text[end - 1] in "\"'" else ""
        newline = "\n" if text[end - 1] == "\n" else ""
        text = f"{text[:start]}{quote}{REDACTED}{quote}{newline}{text[end:]}"
    return text


def _secret_spans(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[int, int]]:
    """Yield where the secret values below ``node`` begin and end."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _secret_spans(item, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            is_scalar = isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
            if not is_scalar or not _IS_SECRET_NAME.fullmatch(key.value):
                yield from _secret_spans(value, seen)
            elif not _NOT_SECRET.fullmatch(value.value):
                yield value.start_mark.index, value.end_mark.index


def _redact_assignment(match: re.Match[str]) -> str:
    value = match["value"]
    quote = re.match(r"""\\*["']?""", value)
    quotes = quote[0] if quote else ""
    inner = value[len(quotes) : -len(quotes) or None]
    if _NOT_SECRET.fullmatch(inner):
        return match[0]
    return f"{match['start']}{quotes}{REDACTED}{quotes}"


def _redact_wrapped(match: re.Match[str]) -> str:
    head = match[0][: match.start("value") - match.start()]
    newline = "\n" if match["value"].endswith("\n") else ""
    indent = " " * (len(match["indent"]) + len(match["item"] or "") + 2)
    return f"{head}{match['sign']}{indent}{REDACTED}{newline}"
