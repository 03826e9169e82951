"""The same commands to carteiro, on both stores, and to a real Dovecot: the answers are equal, or the difference has its reason here."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop.comparing import Answer, comparable
from tests.interop.conftest import free_ports
from tests.interop.dovecot import running_dovecot
from tests.interop.imapwire import Item, Wire

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SEQUENCES = 260
"""For each of the two stores, each with its own."""
COMMANDS = 14
SEED = 20261130

BODIES = [
    b"plain text\r\nwith a Needle in it\r\n",
    b"",
    b"caf\xc3\xa9 and other words\r\n.\r\n..dots\r\n",
    b"a long line: " + b"x" * 900 + b"\r\n",
]
OPEN_END = b"no line end at the end"
"""For Maildir: an mbox ends each message with a line end, Dovecot's as well as ours."""
HEADERS = [
    b"From: Ana <ana@example.com>\r\nTo: bob@example.com\r\nSubject: hello\r\nDate: Mon, 02 Feb 2026 10:00:00 +0000\r\nMessage-ID: <1@x>\r\n",
    b"From: =?utf-8?q?Jo=C3=A3o?= <joao@example.com>\r\nTo: ana@example.com, bob@example.com\r\nCc: eva@example.org\r\n"
    b"Subject: Re: hello\r\nDate: Tue, 3 Mar 2026 23:30:00 -0300\r\nIn-Reply-To: <1@x>\r\nReferences: <1@x>\r\nMessage-ID: <2@x>\r\n",
    b"Subject: no sender at all\r\n",
    b'From: "Quoted, Name" <q@example.com>\r\nSubject: a "quoted" \\ subject\r\nX-Odd:\r\n folded\r\n value\r\nMessage-ID: <3@x>\r\n',
    b"From: multi@example.com\r\nSubject: multi\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=sep\r\n",
]
MULTIPART = (
    b"preamble\r\n--sep\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst part Needle\r\n--sep\r\n"
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>second=20part</b>\r\n--sep--\r\n"
)
FLAGS = [b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft", b"$Label1", b"work"]
ITEMS = [
    b"FLAGS", b"UID", b"RFC822.SIZE", b"INTERNALDATE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE", b"BODY[]", b"BODY.PEEK[]", b"BODY.PEEK[HEADER]",
    b"BODY.PEEK[TEXT]", b"BODY.PEEK[1]", b"BODY.PEEK[2]", b"BODY.PEEK[1.MIME]", b"BODY.PEEK[HEADER.FIELDS (Subject From)]",
    b"BODY.PEEK[HEADER.FIELDS.NOT (Subject)]", b"BODY.PEEK[]<5.20>", b"BODY.PEEK[TEXT]<0.10>", b"BODY[TEXT]<3.4>", b"RFC822.HEADER", b"RFC822.TEXT",
    b"RFC822", b"ALL", b"FAST", b"FULL",
]  # fmt: skip
MACROS = {b"ALL", b"FAST", b"FULL"}
KEYS = [
    b"ALL", b"SEEN", b"UNSEEN", b"DELETED", b"UNDELETED", b"FLAGGED", b"ANSWERED", b"DRAFT", b"KEYWORD $Label1", b"UNKEYWORD work", b"FROM ana",
    b"TO bob", b"CC eva", b"SUBJECT hello", b'SUBJECT "re: hel"', b"BODY needle", b"TEXT needle", b"TEXT subject", b"LARGER 300", b"SMALLER 300",
    b"SENTBEFORE 3-Mar-2026", b"SENTON 3-Mar-2026", b"SENTSINCE 2-Feb-2026", b"BEFORE 1-Jan-2030", b"SINCE 1-Jan-2020", b"ON 5-May-2025",
    b"HEADER Message-ID 1@x", b'HEADER X-Odd ""', b"UID 1:3", b"2:*", b"NOT SEEN", b"OR SEEN FLAGGED", b"(SEEN FLAGGED)", b"NOT (OR SEEN DELETED)",
    b"1:2 UNSEEN",
]  # fmt: skip
SETS = [b"1", b"2", b"1:*", b"*", b"2:3", b"1,3", b"3:1", b"1:2,4", b"9", b"5:9"]


def append(name: bytes, random_: random.Random, bodies: list[bytes]) -> bytes:
    header = random_.choice(HEADERS)
    data = header + b"\r\n" + (MULTIPART if b"boundary=sep" in header else random_.choice(bodies))
    flags = b" (%b)" % b" ".join(random_.sample(FLAGS, random_.randrange(3))) if random_.random() < 0.7 else b""
    date = random_.choice([b"", b' " 5-May-2025 12:34:56 +0200"', b' "05-May-2025 23:59:59 -0700"'])
    return b"APPEND %b%b%b {%d+}\r\n%b" % (name, flags, date, len(data), data)


class Generator:
    """Makes one sequence of commands around a mailbox of its own."""

    def __init__(self, number: int, bodies: list[bytes]) -> None:
        self.bodies = bodies
        self.random = random.Random(SEED + number)
        self.name = b"seq%d" % number
        self.read_only = False
        self.other = self.name + random.Random(number).choice([b"-copy", b"/sub", b" with space", b"-&AOk-"])

    def commands(self) -> list[bytes]:
        pick = self.random
        found = [b"CREATE " + self.name, b"CREATE " + self._quoted(self.other)]
        found += [append(self.name, pick, self.bodies) for _ in range(pick.randrange(1, 6))]
        self.read_only = pick.random() < 0.1
        found.append((b"EXAMINE " if self.read_only else b"SELECT ") + self.name)
        found += [self._one() for _ in range(COMMANDS)]
        return [*found, b"NOOP", b"UNSELECT", b"STATUS %b (MESSAGES UIDNEXT UNSEEN)" % self.name, *self._names(), *self._remove()]

    @staticmethod
    def _quoted(name: bytes) -> bytes:
        return b'"%b"' % name

    def _one(self) -> bytes:
        pick = self.random
        uid = b"UID " if pick.random() < 0.4 else b""
        kinds = {"fetch": 9, "search": 8, "copy": 2, "append": 2, "status": 2, "noop": 1, "odd": 2}
        if not self.read_only:  # what a server says to a change of a mailbox that was opened for reading is its own matter
            kinds |= {"store": 6, "move": 2, "expunge": 3}
        kind = pick.choices(list(kinds), list(kinds.values()))[0]
        match kind:
            case "fetch":
                items = pick.sample(ITEMS, pick.randrange(1, 4))
                chosen = items[0] if items[0] in MACROS else b"(%b)" % b" ".join(item for item in items if item not in MACROS)
                return b"%bFETCH %b %b" % (uid, pick.choice(SETS), chosen)
            case "store":
                action = pick.choice([b"+FLAGS", b"-FLAGS", b"FLAGS", b"+FLAGS.SILENT", b"-FLAGS.SILENT", b"FLAGS.SILENT"])
                return b"%bSTORE %b %b (%b)" % (uid, pick.choice(SETS), action, b" ".join(pick.sample(FLAGS, pick.randrange(1, 3))))
            case "search":
                returns = pick.choice([b"", b"", b"RETURN (MIN MAX) ", b"RETURN (COUNT) ", b"RETURN (ALL) ", b"RETURN () "])
                return b"%bSEARCH %b%b" % (uid, returns, b" ".join(pick.sample(KEYS, pick.randrange(1, 3))))
            case "copy" | "move":
                target = self._quoted(self.other) if pick.random() < 0.9 else b"nowhere-at-all"
                return b"%b%b %b %b" % (uid, kind.upper().encode(), pick.choice(SETS), target)
            case "expunge":
                return b"UID EXPUNGE " + pick.choice(SETS) if uid else b"EXPUNGE"
            case "append":
                return append(self.name if pick.random() < 0.9 else b"nowhere-at-all", pick, self.bodies)
            case "status":
                return b"STATUS %b (MESSAGES UIDNEXT UNSEEN)" % self._quoted(self.other)
            case "noop":
                return pick.choice([b"NOOP", b"CHECK"])
            case _:
                return pick.choice(
                    [
                        b"FETCH 0 FLAGS", b"FETCH 1:x FLAGS", b"FETCH 1 NONSENSE", b"FETCH", b"SEARCH", b"SEARCH NONSENSE", b"SEARCH OR SEEN",
                        b"COPY 1", b"XYZZY", b"UID NOOP 1", b"FETCH 1 (FLAGS", b"FETCH 1 BODY[", b"SEARCH CHARSET X-NONE TEXT a", b"STORE 1 +FLAGS \\Nonsense",
                        b"SEARCH BEFORE 99-Xyz-2020", b"FETCH 1 BODY[1.2.3.HEADER]", b"FETCH 1 BODY.PEEK[]<1.0>",
                    ]
                )  # fmt: skip

    def _names(self) -> list[bytes]:
        pick = self.random
        renamed = b"%b-renamed" % self.name
        chosen = [
            b'LIST "" "%b*"' % self.name, b'LIST "" %b/%%' % self.name, b"SUBSCRIBE " + self.name, b'LSUB "" "%b*"' % self.name, b"CREATE " + self.name,
            b"UNSUBSCRIBE " + self.name, b"RENAME %b %b" % (self.name, renamed), b"RENAME %b %b" % (renamed, self.name), b"STATUS nowhere (MESSAGES)",
            b"DELETE nowhere", b"RENAME nowhere elsewhere",
        ]  # fmt: skip
        return [command for command in chosen if pick.random() < 0.7]

    def _remove(self) -> list[bytes]:
        return [
            b"UNSUBSCRIBE " + self.name,
            b"DELETE " + self._quoted(self.other),
            b"DELETE " + self.name,
            b"DELETE %b-renamed" % self.name,
        ]


@dataclass(frozen=True)
class Case:
    """A command whose two answers differ, and the two sessions, which can be asked more. ``before``: the flags before a STORE, by number."""

    line: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    mine: Wire
    other: Wire
    before: dict[int, frozenset[bytes]]

    @property
    def wires(self) -> tuple[Wire, Wire]:
        return self.mine, self.other

    def count(self) -> set[int]:
        """Return how many messages each has: one number if they agree."""
        return {len(wire.ok(b"UID FETCH 1:* (UID)")) for wire in self.wires}


@dataclass(frozen=True)
class Reason:
    """Why two answers may differ: which commands, and how they may, no further."""

    command: str
    sentence: str
    differs: Callable[[Case], bool]


def _rows(answer: dict[str, Any]) -> dict[int, dict[bytes, Any]]:
    return dict(answer.get("fetch", ()))


def _without(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != kind}


def _tells_unchanged_flags(case: Case) -> bool:
    """Whether we tell the same flags, and beside them only those of messages that had them before; and the UID."""
    ours, theirs = _rows(case.ours), _rows(case.theirs)
    told = {number: items[b"FLAGS"] for number, items in ours.items()}
    unchanged = {number for number in ours.keys() - theirs.keys() if told[number] == case.before[number]}
    return (
        _without(case.ours, "fetch") == _without(case.theirs, "fetch")
        and {frozenset(items) for items in ours.values()} == {frozenset((b"UID", b"FLAGS"))}
        and unchanged == ours.keys() - theirs.keys()
        and {number: items[b"FLAGS"] for number, items in theirs.items()} == {number: told.get(number) for number in theirs}
    )


def _missing_part_is_nil(case: Case) -> bool:
    """Whether nothing differs but that we say NIL of parts that most messages here do not have."""
    rows = [
        (number, {name: b"" if value is None and name in MISSING_PARTS else value for name, value in items.items()})
        for number, items in case.ours.get("fetch", ())
    ]
    return case.ours | {"fetch": rows} == case.theirs


def _only_we_refuse(case: Case) -> bool:
    return case.ours == {"condition": "BAD"} and case.theirs["condition"] == "OK"


def _only_they_refuse_in_an_empty_mailbox(case: Case) -> bool:
    answers = _without(case.ours, "code"), _without(case.theirs, "code")
    return answers[0] in ({"condition": "OK"}, {"condition": "NO"}) and answers[1] == {"condition": "BAD"} and case.count() == {0}


def _we_miss_the_destination_of_nothing(case: Case) -> bool:
    numbers = case.line.split()[2].encode()
    nothing = {len(wire.ok(b"UID FETCH %b (UID)" % numbers)) for wire in case.wires} == {0}
    return case.ours["condition"] == "NO" and case.theirs == {"condition": "OK"} and nothing


def _only_we_give_a_code(case: Case) -> bool:
    return _without(case.ours, "code") == case.theirs and case.ours["code"] == b"NONEXISTENT"


def _found_alike_but_for_some(case: Case) -> bool:
    """Whether the sets that both find, asked for plainly, differ only by messages a reason names, and each RETURN fits its set."""
    ((uid, keys),) = _SEARCH.findall(case.line)
    sets = []
    for wire in case.wires:
        (line,) = wire.ok(f"{uid}SEARCH {keys}".encode())
        sets.append({int(word) for word in line.split()[2:]})
    named: set[int] = set()
    if "SENT" in keys:
        rows = case.mine.fetch(b"1:*", b"UID ENVELOPE").items()
        named |= {_number(items[b"UID"]) if uid else number for number, items in rows if (items[b"ENVELOPE"] or b"?")[0] is None}
    if "2:*" in keys and case.count() == {1}:
        ((number, items),) = case.mine.fetch(b"1:*", b"UID").items()
        named.add(_number(items[b"UID"]) if uid else number)
    fits = all(_fits(answer.get("found", []), found) for answer, found in zip((case.ours, case.theirs), sets, strict=True))
    return _without(case.ours, "found") == _without(case.theirs, "found") and sets[0] ^ sets[1] <= named and fits


def _number(value: Item) -> int:
    assert isinstance(value, bytes)
    return int(value)


def _fits(told: list[Any], found: set[int]) -> bool:
    """Whether an answer is that of a search which finds this."""
    if not told or isinstance(told[0], int):
        return not found or told == sorted(found)
    words = [word.decode() for word in told if word != b"UID"]
    results = dict(zip(words[::2], words[1::2], strict=True))
    expected = {"MIN": min(found, default=0), "MAX": max(found, default=0), "COUNT": len(found), "ALL": found}
    values: dict[str, Any] = {name: _numbers(value) if name == "ALL" else int(value) for name, value in results.items()}
    return all(expected[name] == value for name, value in values.items())


def _numbers(text: str) -> set[int]:
    ranges = [part.split(":") for part in text.split(",")]
    return {number for ends in ranges for number in range(int(ends[0]), int(ends[-1]) + 1)}


_SEARCH = re.compile(r"(UID )?SEARCH (?:RETURN \([^)]*\) )?(.*)")
MISSING_PARTS = {b"BODY[2]", b"BODY[1.2.3.HEADER]", b"BODY[1.MIME]"}
REASONS = [
    Reason(
        "(UID )?STORE",
        "RFC 3501 section 6.4.6: the new value of the flags is returned as if a FETCH of those flags was done; Dovecot leaves out messages "
        "whose flags did not change. We add the UID, which RFC 9051 section 7.5.2 allows in any FETCH response.",
        _tells_unchanged_flags,
    ),
    Reason(
        "(UID )?FETCH .*BODY",
        "RFC 3501 section 9: the value of a section is an nstring; for a part that does not exist we say NIL, Dovecot an empty string.",
        _missing_part_is_nil,
    ),
    Reason("FETCH 1 BODY.PEEK..<1.0>", "RFC 3501 section 9: the length of a partial is an nz-number.", _only_we_refuse),
    Reason(
        "(UID )?SEARCH .*SENT",
        'RFC 3501 section 6.4.4: "messages whose Date: header is earlier"; a message without one is in no such set. Dovecot takes the internal date.',
        _found_alike_but_for_some,
    ),
    Reason(
        r"(UID )?SEARCH .*2:\*",
        "RFC 3501 section 9, seq-range: 2:* in a mailbox of one message is 1:2, so the message is in it; Dovecot finds none.",
        _found_alike_but_for_some,
    ),
    Reason(
        r"(FETCH|STORE|COPY|MOVE) (1:)?\*",
        "RFC 3501 section 9, seq-number: no message has a number in an empty mailbox, which both may say. We do nothing and say OK (or miss the "
        "destination), as clients send 1:* without having looked; Dovecot says BAD.",
        _only_they_refuse_in_an_empty_mailbox,
    ),
    Reason(
        "UID (COPY|MOVE) .* nowhere-at-all",
        "RFC 3501 section 6.4.7: a destination that does not exist is an error. We look for it first, Dovecot only when there is something to copy.",
        _we_miss_the_destination_of_nothing,
    ),
    Reason(
        "STATUS nowhere",
        'RFC 5530 section 3, NONEXISTENT: "The operation attempts to delete something that does not exist" and the like; Dovecot says it of others, not of STATUS.',
        _only_we_give_a_code,
    ),
]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Any]:
    with running_dovecot({"imap": free_ports(1)[0]}) as server:
        yield server


def explained(case: Case) -> bool:
    return any(re.match(reason.command, case.line) and reason.differs(case) for reason in REASONS)


def flags_before(command: bytes, wires: tuple[Wire, Wire]) -> dict[int, frozenset[bytes]]:
    """Return the flags that a STORE is about to change: both have the same, which is a comparison too."""
    if not re.match(rb"(UID )?STORE", command):
        return {}
    found = [_rows(comparable(Answer(*wire.command(b"UID FETCH 1:* (FLAGS)")))) for wire in wires]
    assert found[0] == found[1]
    return {number: items[b"FLAGS"] for number, items in found[0].items()}


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_answers_are_those_of_dovecot(user: str, make_office: Any, dovecot: Any, need_program: Callable[[str], str]) -> None:
    """Hundreds of generated sequences; each session goes on where the last one ended."""
    need_program("doveadm")
    office = make_office()
    differences: list[str] = []
    first, bodies = (0, [*BODIES, OPEN_END]) if user == "ana" else (SEQUENCES, BODIES)
    with ExitStack() as stack:
        wires = mine, other = (Wire(office.ports["imap"]), Wire(dovecot.ports["imap"]))
        for client in wires:
            stack.callback(client.close)
            client.ok(f"LOGIN {user} {user}-secret".encode())
        for number in range(first, first + SEQUENCES):
            for command in Generator(number, bodies).commands():
                before = flags_before(command, wires)
                answers = [Answer(*client.command(command)) for client in wires]
                ours, theirs = map(comparable, answers)
                line = command.partition(b"\r\n")[0].decode()
                if ours != theirs and not explained(Case(line, ours, theirs, mine, other, before)):
                    differences.append(_tell(number, command, answers))
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:60])


def _tell(number: int, command: bytes, answers: list[Answer]) -> str:
    ours, theirs = (b"\n    ".join([*answer.untagged, answer.tagged]).decode("latin-1")[:1500] for answer in answers)
    return f"sequence {number}: {command[:200]!r}\n  carteiro:\n    {ours}\n  dovecot:\n    {theirs}"
