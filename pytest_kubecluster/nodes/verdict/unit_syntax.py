"""The text of unit files and environment files, read as systemd reads it.

From systemd.syntax(7), systemd.service(5) and systemd.exec(5); what these leave open was seen of
systemd 252.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SPACE = " \t\n\r"
_COMMENT = "#;"
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_LETTERS = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "s": " ",
    "\\": "\\",
    '"': '"',
    "'": "'",
}
_IN_BRACES = re.compile(r"\$(?:\$|\{([^{}]*)\})")
_ESCAPED_BY_SHELLS = '"\\`$'


def directives(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, name and value of each assignment in a unit file."""
    section = ""
    for line in _lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line:
            name, _, value = line.partition("=")
            yield section, name.strip(), value.strip()


def _lines(text: str) -> Iterator[str]:
    """Yield lines, continued ones joined; a comment between them does not end them."""
    joined = ""
    for line in re.split(r"\r\n|\n|\r", text):
        line = line.lstrip(_SPACE)
        if line[:1] in tuple(_COMMENT):
            continue
        joined += line
        backslashes = len(joined) - len(joined.rstrip("\\"))
        if backslashes % 2:
            joined = joined[:-1] + " "
            continue
        if joined.strip(_SPACE):
            yield joined.strip(_SPACE)
        joined = ""
    if joined.strip(_SPACE):
        yield joined.strip(_SPACE)


def split_words(text: str, *, escapes: bool = True) -> list[str]:
    """Return the words of a value: quotes anywhere in them are removed, escapes are C's.

    Empty where quotes are not closed: systemd ignores such a line. Without ``escapes``, a backslash
    only makes the next character one of the word, and a quote that is not closed ends with the
    text: a variable's value is split so.
    """
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            found = _ESCAPE.match(text, at)
            word = (word or "") + (_unescaped(found, escapes=escapes) if found else "\\" * escapes)
            at = found.end() if found and escapes else at + 2
            continue
        at += 1
        if quote:
            quote = "" if letter == quote else quote
            word = (word or "") + (letter if quote else "")
        elif letter in "'\"":
            quote, word = letter, word or ""
        elif letter not in _SPACE:
            word = (word or "") + letter
        elif word is not None:
            words.append(word)
            word = None
    if quote and escapes:
        return []
    return words if word is None else [*words, word]


def _unescaped(found: re.Match[str], *, escapes: bool) -> str:
    if not escapes:
        return found[0][1]
    code, short, long, octal, letter = found.groups()
    if letter is not None:
        return _LETTERS.get(letter, found[0])
    number = int(octal, 8) if octal else int(code or short or long, 16)
    return chr(number) if 0 < number < 0x110000 else found[0]


def assignments(value: str) -> Iterator[tuple[str, str]]:
    """Yield the variables of an ``Environment=``."""
    for word in split_words(value):
        name, equals, text = word.partition("=")
        if equals:
            yield name, text


def environment_file(text: str) -> dict[str, str]:
    """Return the variables of an environment file.

    Quoted parts of a value are joined without the space between them, and may have several lines.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        while text[at : at + 1] in tuple(_SPACE):
            at += 1
        end = _end_of_line(text, at)
        if text[at : at + 1] in ("", *_COMMENT):
            while _continues(text, at, end):
                end = _end_of_line(text, end + 1)
            at = end + 1
            continue
        equals = text.find("=", at + 1, end)
        if equals < 0:
            at = end + 1
            continue
        name = text[at:equals].strip(_SPACE)
        found[name], at = _value(text, equals + 1)
    return {
        name: value
        for name, value in found.items()
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    }


def _end_of_line(text: str, at: int) -> int:
    found = re.compile(r"[\n\r]").search(text, at)
    return found.start() if found else len(text)


def _continues(text: str, at: int, end: int) -> bool:
    """Return whether a comment has a backslash at its end: it goes on in the next line."""
    comment = text[at:end]
    return end < len(text) and (len(comment) - len(comment.rstrip("\\"))) % 2 == 1


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value that begins at a place of an environment file, and where it ends."""
    value, kept, quote = "", 0, ""
    plain = False
    while at < len(text):
        letter = text[at]
        at += 1
        following = text[at : at + 1]
        if quote:
            if letter == quote:
                quote = ""
            elif letter == "\\" and quote == '"':
                at += 1
                if following in tuple(_ESCAPED_BY_SHELLS):
                    value += following
                elif following not in ("", "\n"):
                    value += letter + following
            else:
                value += letter
            kept = len(value)
        elif letter in "\n\r":
            break
        elif letter == "\\":
            at += 1
            plain = True
            value += "" if following in ("\n", "\r") else following
            kept = len(value)
        elif letter in "'\"" and not plain:
            quote = letter
        elif letter in _SPACE:
            # Kept inside of a value that is not quoted, and nowhere else.
            value += letter if plain else ""
        else:
            plain = True
            value += letter
            kept = len(value)
    return value[:kept], at


def with_variables(word: str, environment: Mapping[str, str]) -> list[str]:
    """Return the words that a word of a command is, once variables are replaced.

    A variable that is a word of its own, ``$NAME``, is split; within a word only ``${NAME}`` is
    one. Variables that are not set are empty.
    """
    if re.match(r"\$(?![{$])", word):
        return split_words(environment.get(word[1:], ""), escapes=False)
    replaced = _IN_BRACES.sub(
        lambda found: "$" if found[1] is None else environment.get(found[1], ""), word
    )
    return [replaced]
