"""FETCH of odd messages answers as Dovecot does; where it does not, a file says which sentence decides."""

import re
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.conftest import Carteiro, free_ports
from tests.interop.dovecot import running_dovecot
from tests.interop.imapwire import Item, Wire, logged_in
from tests.interop.torture import make_message

pytestmark = pytest.mark.interop

TESTS = Path(__file__).resolve().parents[1]
SEEDS = range(600)
MAX_SECTIONS = 24
ITEMS = b"ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE BODY.PEEK[HEADER] BODY.PEEK[TEXT]"
ENVELOPE_FIELDS = ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id")
Answer = dict[bytes, Item]

# What RFC 5322 section 3.4 calls an address list, obsolete forms included, once comments and quotes are gone.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
_DOMAIN = rf"(?:{_ATOM}(?:\.{_ATOM})*|\[[^\[\]\\]*\])"
_SPEC = rf"{_ATOM}(?:\.{_ATOM})*@{_DOMAIN}"
_PHRASE = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-][A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff .-]*"
_MAILBOX = rf"(?:{_SPEC}|(?:{_PHRASE})?<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?{_SPEC}>)"
_GROUP = rf"{_PHRASE}:(?:{_MAILBOX}(?:,{_MAILBOX})*)?;"
_is_plain_list = re.compile(rf"(?:{_MAILBOX}|{_GROUP})(?:,(?:{_MAILBOX}|{_GROUP}))*").fullmatch
_ADDRESS_FIELD = re.compile(r"(?im)^(?:from|sender|reply-to|to|cc|bcc)[ \t]*:((?:[^\r\n]|\r(?!\n))*(?:\r\n[ \t][^\r\n]*)*)")
_BOUNDARY = re.compile(r"(?i)boundary\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;]*))")


@dataclass(frozen=True)
class Difference:
    name: str
    items: frozenset[str]
    when: tuple[str, ...]

    def may_be(self, text: str) -> bool:
        special = {"BROKEN ADDRESS": _has_broken_address, "CLASHING BOUNDARIES": _has_clashing_boundaries}
        return any(special[pattern](text) if pattern in special else re.search(pattern, text) for pattern in self.when)


def _is_address_list(value: str) -> bool:
    value = re.sub(r'"(?:[^"\\]|\\.)*"', "q", value, flags=re.DOTALL)
    for _ in range(3):  # comments within comments
        value = re.sub(r"\((?:[^()\\]|\\.)*\)", " ", value, flags=re.DOTALL)
    value = re.sub(r"\s*([.@:;,<>])\s*", r"\1", value)
    return _is_plain_list(re.sub(r"\s+", " ", value).strip()) is not None


def _has_broken_address(text: str) -> bool:
    return any(not _is_address_list(value) for value in _ADDRESS_FIELD.findall(text))


def _has_clashing_boundaries(text: str) -> bool:
    found = [re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in _BOUNDARY.findall(text)]
    pairs = [(one, other) for at, one in enumerate(found) for other in found[at + 1 :]]
    if any(one.startswith(other) or other.startswith(one) for one, other in pairs) or any(len(one) > 70 for one in found):
        return True
    return any(re.search(rf"(?s)(?:\r\n|\A)--{re.escape(one)}--.*\r\n--{re.escape(one)}", text) for one in found if one)


def differences() -> list[Difference]:
    entries = tomllib.loads((TESTS / "interop" / "dovecot_differences.toml").read_text())["difference"]
    assert all(entry["rfc"].startswith("RFC ") and entry["sentence"] and entry["ours"] for entry in entries)
    return [Difference(entry["name"], frozenset(entry["items"]), tuple(entry["when"])) for entry in entries]


def messages() -> Iterator[tuple[str, bytes]]:
    """Yield the corpus and the made ones, CRLF, without NUL; damaged ones (every fourth seed) are compared with nobody."""
    with zipfile.ZipFile(TESTS / "message" / "data" / "corpus.zip") as archive:
        for name in archive.namelist():
            data = re.sub(rb"\r?\n", b"\r\n", archive.read(name)).replace(b"\0", b"")
            if data:
                yield name, data
    for seed in SEEDS:
        yield f"seed {seed}", make_message(seed)


def part_numbers(structure: Item) -> list[str]:
    """Return the number of each part in a BODYSTRUCTURE, in order."""
    found: list[str] = []

    def children(body: list[Item]) -> list[list[Item]]:
        count = next((at for at, item in enumerate(body) if not isinstance(item, list)), len(body))
        return [item for item in body[:count] if isinstance(item, list)]

    def walk(body: list[Item], path: tuple[int, ...], *, is_message: bool) -> None:
        parts = children(body)
        if parts:
            if path and not is_message:
                found.append(".".join(map(str, path)))
            for number, part in enumerate(parts, 1):
                walk(part, (*path, number), is_message=False)
            return
        own = (*path, 1) if is_message else path
        found.append(".".join(map(str, own)))
        names = [item.lower() for item in body[:2] if isinstance(item, bytes)]
        if names in ([b"message", b"rfc822"], [b"message", b"global"]) and len(body) > 8 and isinstance(body[8], list):
            walk(body[8], own, is_message=True)

    assert isinstance(structure, list)
    walk(structure, (), is_message=True)
    return found[:MAX_SECTIONS]


# What the comparison sees past


def _folded(value: Item) -> Item:
    """Return letters small and white space single."""
    if isinstance(value, bytes):
        return b" ".join(value.lower().split())
    return [_folded(item) for item in value] if isinstance(value, list) else None


def _spaced(value: Item) -> Item:
    if isinstance(value, bytes):
        return b" ".join(value.split())
    return [_spaced(item) for item in value] if isinstance(value, list) else None


def _sections(answer: Answer) -> dict[bytes, Item]:
    return {name: value for name, value in answer.items() if name.startswith(b"BODY[")}


def unlike(dovecot: Answer, ours: Answer) -> dict[str, object]:
    """Return what differs, by group."""
    found: dict[str, object] = {}
    if _spaced(dovecot[b"ENVELOPE"]) != _spaced(ours[b"ENVELOPE"]):
        found["envelope"] = dovecot[b"ENVELOPE"], ours[b"ENVELOPE"]
    for name in (b"BODY", b"BODYSTRUCTURE"):
        if _folded(dovecot[name]) != _folded(ours[name]):
            found["body"] = dovecot[name], ours[name]
    if dovecot[b"RFC822.SIZE"] != ours[b"RFC822.SIZE"]:
        found["sections"] = dovecot[b"RFC822.SIZE"], ours[b"RFC822.SIZE"]
    theirs, own = _sections(dovecot), _sections(ours)
    for name in theirs.keys() | own.keys():
        is_nothing = name.endswith((b".HEADER]", b".TEXT]")) and own.get(name) is None and theirs.get(name) == b""
        if theirs.get(name) != own.get(name) and not is_nothing:
            found["sections"] = name, theirs.get(name), own.get(name)
    return found


def _fetch_all(wire: Wire) -> dict[int, Answer]:
    wire.ok(b"SELECT Torture")
    return wire.fetch(b"1:*", ITEMS)


def _fetch_sections(wire: Wire, number: int, parts: list[str]) -> Answer:
    wanted = " ".join(f"BODY.PEEK[{part}{word}]" for part in parts for word in ("", ".MIME", ".HEADER", ".TEXT"))
    return wire.fetch(b"%d" % number, wanted.encode())[number]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_odd_messages_are_shown_as_dovecot_shows_them(dev: Carteiro, need_program: Callable[[str], str]) -> None:
    """ENVELOPE, BODY, BODYSTRUCTURE, RFC822.SIZE and every section of every part; each difference has its entry."""
    need_program("dovecot")
    known = differences()
    needed: set[str] = set()
    unexplained: list[tuple[str, str, object]] = []
    with (
        running_dovecot({"imap": free_ports(1)[0]}) as peer,
        logged_in(peer.ports["imap"]) as dovecot,
        logged_in(dev.ports["imap"]) as ours,
    ):
        cases = list(messages())
        for wire in (dovecot, ours):
            wire.ok(b"CREATE Torture")
            for name, data in cases:
                assert wire.append(b"Torture", data).startswith(b"OK"), name
        answers = _fetch_all(dovecot), _fetch_all(ours)
        for number, (name, data) in enumerate(cases, 1):
            theirs, own = answers[0][number], answers[1][number]
            parts = list(dict.fromkeys([*part_numbers(theirs[b"BODYSTRUCTURE"]), *part_numbers(own[b"BODYSTRUCTURE"])]))
            theirs |= _fetch_sections(dovecot, number, parts)
            own |= _fetch_sections(ours, number, parts)
            if name.startswith("seed") and int(name[5:]) % 4 == 3:
                continue
            found = unlike(theirs, own)
            text = data.decode("latin-1")
            reasons = [entry for entry in known if found.keys() & entry.items and entry.may_be(text)]
            excused = {item for entry in reasons for item in entry.items}
            unexplained += [(name, item, found[item]) for item in sorted(found.keys() - excused)]
            needed.update(reason.name for reason in reasons)
    assert not unexplained, "\n".join(map(repr, unexplained[:20]))
    assert {entry.name for entry in known} == needed
