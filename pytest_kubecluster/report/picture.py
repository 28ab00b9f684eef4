"""The picture of a cluster: where everything is drawn, and which node uses which API server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_kubecluster.report.data import NodeOfRun, Report

CARD_WIDTH, CARD_HEIGHT = 196, 84
_GAP, _MARGIN, _HEAD, _LANE = 16, 14, 22, 7
_LONGEST = 26
"""Characters that fit on a line of a card."""
_SERVERS = 4
"""How many API servers are drawn with lines of their own."""

State = str
"""``ok``, ``failed``, ``unusable`` or ``unchecked``."""


@dataclass(frozen=True)
class Card:
    """A node, and where it is drawn."""

    node: NodeOfRun
    state: State
    x: int
    y: int
    lines: tuple[str, ...]
    server: int | None = None
    """The number of the API server whose address is this node's."""


@dataclass(frozen=True)
class Server:
    """An API server; ``path`` is the line from its clients, ``x`` and ``y`` where it is drawn."""

    url: str
    number: int
    x: int
    y: int
    path: str
    apart: bool
    """Whether it is on no node of the cluster."""


@dataclass(frozen=True)
class Picture:
    """The cards of all nodes, and the lines between them."""

    width: int
    height: int
    cards: list[Card]
    servers: list[Server]


def state_of(report: Report, node: NodeOfRun) -> State:
    """Return how a node did."""
    own = [one for one in report.results if node.name in one.node.split(",")]
    if node.problem:
        return "unusable"
    if any(one.outcome == "failed" for one in own):
        return "failed"
    return "ok" if any(one.outcome == "passed" for one in own) else "unchecked"


def picture(report: Report, columns: int) -> Picture:
    """Draw the masters above the workers, at most ``columns`` beside each other."""
    urls = list(dict.fromkeys(node.api_server for node in report.nodes if node.api_server))
    urls = urls[:_SERVERS]
    places = {node.address: node.name for node in report.nodes}
    homes = [places.get(urlsplit(url).hostname or "", "") for url in urls]
    left = _MARGIN + _LANE * len(urls)
    rail = _HEAD + _LANE * len(urls)
    top = 34 if not all(homes) else 0
    cards, y = [], top
    for row in _rows(report.nodes, columns):
        y += rail
        for place, node in enumerate(row):
            x = left + place * (CARD_WIDTH + _GAP)
            server = homes.index(node.name) if node.name in homes else None
            lines = _lines(node, report.about.control_plane)
            cards.append(Card(node, state_of(report, node), x, y, lines, server))
        y += CARD_HEIGHT
    widest = min(columns, max((len(row) for row in _rows(report.nodes, columns)), default=1))
    width = left + widest * (CARD_WIDTH + _GAP) - _GAP + _MARGIN
    servers = [
        _server(url, number, home, cards, len(urls))
        for number, (url, home) in enumerate(zip(urls, homes, strict=True))
    ]
    return Picture(width, y + _MARGIN, cards, servers)


def _rows(nodes: Sequence[NodeOfRun], columns: int) -> list[list[NodeOfRun]]:
    rows = []
    for role in dict.fromkeys(node.role for node in nodes):
        alike = [node for node in nodes if node.role == role]
        rows += [alike[start : start + columns] for start in range(0, len(alike), columns)]
    return rows


def _server(url: str, number: int, home: str, cards: Sequence[Card], count: int) -> Server:
    """Route lines from the nodes up to a rail over their row, and along a trunk at the left."""
    trunk = _MARGIN // 2 + _LANE * number
    above = 12 + _LANE * (count - number - 1)
    place = next((card for card in cards if card.node.name == home), None)
    x, y = (place.x + CARD_WIDTH - 20, place.y) if place else (trunk + 14, 16)
    clients = [card for card in cards if card.node.api_server == url and card is not place]
    rows: dict[int, list[int]] = {}
    for card in clients:
        rows.setdefault(card.y, []).append(card.x + 24 + 2 * _LANE * number)
    lines = []
    if place and clients:
        rows.setdefault(place.y, [])
        lines.append(f"M{trunk} {y - above}H{x}V{y}")
    elif clients:
        lines.append(f"M{trunk} {y}H{x}")
    for row, drops in rows.items():
        if drops:
            lines.append(f"M{trunk} {row - above}H{max(drops)}")
            lines += [f"M{drop} {row - above}V{row}" for drop in drops]
    ends = [row - above for row in rows] + ([] if place else [y])
    if len(ends) > 1:
        lines.append(f"M{trunk} {min(ends)}V{max(ends)}")
    return Server(url, number, x, y, "".join(lines), not place)


def _lines(node: NodeOfRun, control_plane: str) -> tuple[str, ...]:
    words = ["etcd and API server"] if control_plane and node.role == "master" else []
    words += [f"taint {one}" for one in node.taints] + [f"label {one}" for one in node.labels]
    if len(words) > 2:
        words = [words[0], f"and {len(words) - 1} more"]
    return tuple(_short(word) for word in words)


def _short(text: str) -> str:
    """Return a text that fits on a line: the end of a long name tells more than its domain."""
    text = text.replace("=:", ":")
    if len(text) <= _LONGEST:
        return text
    kind, _, rest = text.partition(" ")
    name = f"…/{rest.rpartition('/')[2]}" if "/" in rest else rest
    shorter = (f"{kind} {name}", name, f"{name[: _LONGEST - 1]}…")
    return next(one for one in shorter if len(one) <= _LONGEST)
