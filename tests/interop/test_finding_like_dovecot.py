"""SEARCH, SORT and THREAD answer as Dovecot does; where they do not, the reason stands here with the sentence that decides."""

import base64
import datetime
import quopri
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.interop.conftest import free_ports
from tests.interop.dovecot import running_dovecot
from tests.interop.imapwire import Wire

pytestmark = pytest.mark.interop

MESSAGES = 300
COMMANDS = 400
WORDS = [
    "report",
    "Budget",
    "AÇÃO",
    "ação",
    "Café",
    "cafe",
    "Привет",
    "日本語",
    "straße",
    "x",
    "meeting",
    "List",
    "IMAP",
    "naïve",
    "re",
    "fwd",
]
MARKS = ["Re: ", "RE:", "Fwd: ", "fw: ", "[list] ", "[a][b] ", "Re[2]: ", "re : ", "Re: [list] ", "[Fwd: ", ""]
NAMES = ["Ana", "bob", "Zoë", '"Last, First"', "=?utf-8?q?J=C3=B5ao?=", "=?iso-8859-1?q?Andr=E9?=", ""]
CHARSETS = ["utf-8", "iso-8859-1", "koi8-r", "iso-2022-jp", "windows-1252"]


class Maker:
    """Messages that answer each other, in several charsets and encodings, some of them broken."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def words(self, most: int = 4) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, most)))

    def _encoded(self, text: str) -> str:
        kind = self.random.randrange(3)
        if text.isascii() and kind:
            return text
        if kind == 1:
            return f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="
        return f"=?utf-8?q?{''.join(f'={octet:02X}' for octet in text.encode())}?="

    def subject(self) -> str:
        text = "".join(self.random.choices(MARKS, k=self.random.randint(0, 2))) + self._encoded(self.words(2))
        closed = text + "]" if "[Fwd: " in text and self.random.random() < 0.7 else text
        return closed + self.random.choice(["", "", "", " (fwd)", "  "])

    def address(self) -> str:
        name, local = self.random.choice(NAMES), self.random.choice(["ana", "bob", "Carl", "d.e", '"q t"'])
        return f"{name} <{local}@{self.random.choice(['x.org', 'Y.example'])}>" if name else f"{local}@x.org"

    def message(self, number: int) -> bytes:
        pick = self.random
        fields = [f"Message-ID: <{number}@test>"] if pick.random() < 0.9 else []
        if number and pick.random() < 0.6:
            known = [f"<{pick.randrange(max(0, number - 30), number + 5)}@test>" for _ in range(pick.randint(1, 3))]
            fields.append(pick.choice(["References: " + " ".join(known), "In-Reply-To: " + known[0], "References: " + "\r\n ".join(known)]))
        fields.append(
            f"Date: {pick.randint(1, 28)} {pick.choice(['Jan', 'Feb'])} 2024 {pick.randint(0, 23):02}:{pick.randint(0, 59):02}:00 {pick.choice(['+0000', '-0800', '+0530', 'EST'])}"
        )
        fields.append(f"From: {self.address()}")
        if pick.random() < 0.95:
            fields.append(f"To: {', '.join(self.address() for _ in range(pick.randint(1, 3)))}")
        if pick.random() < 0.3:
            fields.append(f"Cc: {self.address()}")
        if pick.random() < 0.95:
            fields.append(f"Subject: {self.subject()}")
        return ("\r\n".join(fields) + "\r\n").encode() + self.body()

    def body(self) -> bytes:
        text = "\r\n".join(self.words(8) for _ in range(self.random.randint(1, 5))) + "\r\n"
        charset = self.random.choice(CHARSETS)
        data = text.encode(charset, "replace")
        encoding = self.random.choice(["8bit", "quoted-printable", "base64"])
        if encoding == "base64":
            data = base64.encodebytes(data).replace(b"\n", b"\r\n")
        elif encoding == "quoted-printable":
            data = quopri.encodestring(data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + data

    # Commands

    def key(self, depth: int = 0) -> bytes:
        pick = self.random
        text = self._literal(pick.choice(WORDS))
        day = b"%d-%b-2024" % (pick.randint(1, 28), pick.choice([b"Jan", b"Feb"]))
        simple = [
            b"ALL", b"SEEN", b"UNSEEN", b"FLAGGED", b"ANSWERED", b"UNDELETED", b"KEYWORD work", b"UNKEYWORD work", b"%d:%d" % (pick.randint(1, 150), pick.randint(150, 300)),
            b"UID %d:*" % pick.randint(1, 290), b"SUBJECT " + text, b"SUBJECT " + text, b"FROM " + pick.choice([b"ana", b"x.org", b"last"]), b"TO carl", b"CC bob",
            b"BODY " + text, b"TEXT " + text, b"HEADER References test", b"HEADER Message-ID 1", b'HEADER Cc ""', b"LARGER %d" % pick.randint(300, 900),
            b"SMALLER %d" % pick.randint(300, 900), b"SENTBEFORE " + day, b"SENTON " + day, b"SENTSINCE " + day, b"SINCE " + day, b"BEFORE " + day, b"ON " + day,
        ]  # fmt: skip
        kind = pick.random()
        if depth < 3 and kind < 0.15:
            return b"NOT " + self.key(depth + 1)
        if depth < 3 and kind < 0.3:
            return b"OR " + self.key(depth + 1) + b" " + self.key(depth + 1)
        if depth < 3 and kind < 0.4:
            return b"(" + self.key(depth + 1) + b" " + self.key(depth + 1) + b")"
        return pick.choice(simple)

    def _literal(self, text: str) -> bytes:
        data = text.encode()
        return b"{%d+}\r\n%b" % (len(data), data)

    def command(self) -> bytes:
        pick = self.random
        uid = pick.choice([b"", b"UID "])
        kind = pick.randrange(10)
        if kind < 5:
            returns = pick.choice([b"", b"", b"RETURN () ", b"RETURN (MIN MAX COUNT) ", b"RETURN (ALL COUNT) "])
            return uid + b"SEARCH " + returns + b"CHARSET UTF-8 " + self.key()
        if kind < 8:
            keys = [b"ARRIVAL", b"CC", b"DATE", b"FROM", b"SIZE", b"SUBJECT", b"TO", b"DISPLAYFROM", b"DISPLAYTO"]
            # Each once: what a criterion means that contradicts an earlier one, Dovecot takes the other way.
            criteria = [pick.choice([b"", b"REVERSE "]) + key for key in pick.sample(keys, pick.randint(1, 3))]
            return uid + b"SORT (" + b" ".join(criteria) + b") UTF-8 " + self.key()
        return uid + b"THREAD " + pick.choice([b"REFERENCES", b"REFERENCES", b"REFS", b"ORDEREDSUBJECT"]) + b" UTF-8 " + self.key()


Answer = tuple[list[bytes], bytes]


class Case(NamedTuple):
    """A command whose answers differ, and the sessions, which can be asked more."""

    command: bytes
    ours: Answer
    theirs: Answer
    mine: Wire
    other: Wire


class Reason(NamedTuple):
    """Why commands of this form may be answered otherwise, and in which way alone."""

    command: str
    sentence: str
    differs: Callable[[Case], bool]
    most: int = COMMANDS


def _threads(answer: Answer) -> list[bytes]:
    """Return the threads at the top."""
    threads = []
    depth = start = 0
    line = answer[0][0]
    for at, octet in enumerate(line):
        if octet == 40:
            start, depth = (at, 1) if not depth else (start, depth + 1)
        elif octet == 41:
            depth -= 1
            if not depth:
                threads.append(line[start : at + 1])
    return threads


def _same_threads_by_arrival(case: Case) -> bool:
    """Whether the threads are the same, ours in the order of the newest INTERNALDATE in each."""
    ours = _threads(case.ours)
    key = b"UID" if case.command.startswith(b"UID") else b""
    dates = {}
    for number, items in case.mine.fetch(b"1:*", b"UID INTERNALDATE").items():
        uid, date = items[b"UID"], items[b"INTERNALDATE"]
        assert isinstance(uid, bytes)
        assert isinstance(date, bytes)
        dates[int(uid) if key else number] = datetime.datetime.strptime(date.decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    newest = [max(dates[int(number)] for number in re.findall(rb"\d+", thread)) for thread in ours]
    return sorted(ours) == sorted(_threads(case.theirs)) and newest == sorted(newest)


def _equals_parted(case: Case) -> bool:
    """Whether Dovecot goes wrong only among messages that are equal up to a criterion that is a text, and we keep the order there that the other criteria ask for.

    Who is equal is seen by turning the criteria round: equals keep their order, all else turns round with them.
    """
    found = re.match(rb"(UID )?SORT \(([^)]*)\)(.*)", case.command, re.DOTALL)
    assert found is not None
    uid, criteria, searched = (found[1] or b""), found[2], found[3]
    keys = re.findall(rb"(?:REVERSE )?[A-Z]+", criteria)
    texts = [number for number, key in enumerate(keys, 1) if key.rpartition(b" ")[2] not in {b"ARRIVAL", b"DATE", b"SIZE"}]

    def order(chosen: list[bytes]) -> list[int]:
        return _order(answer(case.mine, b"%bSORT (%b)%b" % (uid, b" ".join(chosen), searched)))

    if not texts:
        return False
    first, others = keys[: texts[0]], keys[texts[0] :]
    forwards = order(first)
    backwards = order([key.removeprefix(b"REVERSE ") if key.startswith(b"REVERSE ") else b"REVERSE " + key for key in first])[::-1]
    behind = order(others) if others else sorted(forwards)
    places = {number: place for place, number in enumerate(behind)}
    ours, theirs = _order(case.ours), _order(case.theirs)
    start = 0
    for end in range(1, len(forwards) + 1):
        if sorted(forwards[start:end]) == sorted(backwards[start:end]):
            group = sorted(forwards[start:end], key=places.__getitem__)
            if group != ours[start:end] or sorted(group) != sorted(theirs[start:end]):
                return False
            start = end
    return start == len(ours) == len(theirs)


def _order(found: Answer) -> list[int]:
    return [int(word) for word in found[0][0].split()[2:]]


def _they_disagree_with_themselves(case: Case) -> bool:
    """Whether we find what Dovecot's answers to the parts, put together, say."""
    keys = case.command.partition(b" UTF-8 ")[2]
    plainly = b"UID SEARCH CHARSET UTF-8 "
    everything = _found(case.other, plainly + b"ALL")
    expected, rest = _evaluate(keys, lambda leaf: _found(case.other, plainly + leaf), everything)
    assert not rest
    return _found(case.mine, plainly + keys) == expected != _found(case.other, plainly + keys)


def _found(client: Wire, command: bytes) -> set[int]:
    return set(_order(answer(client, command)))


_WORD = re.compile(rb'"[^"]*"|\{(\d+)\+\}\r\n|[^ ()]+')
_BARE = {b"ALL", b"SEEN", b"UNSEEN", b"FLAGGED", b"ANSWERED", b"UNDELETED"}


def _leaf_length(keys: bytes) -> int:
    """Return how long the simple key is that stands at the beginning."""
    end, words = 0, 1
    while words:
        word = _WORD.match(keys, end)
        assert word is not None, keys
        if not end and word[0] not in _BARE and not word[0][:1].isdigit():
            words += 2 if word[0] == b"HEADER" else 1
        end = word.end() + int(word[1] or 0)
        words -= 1
        end += 1 if words else 0
    return end


def _evaluate(keys: bytes, ask: Callable[[bytes], set[int]], everything: set[int]) -> tuple[set[int], bytes]:
    """Return what one key finds, and the rest behind it."""
    if keys.startswith(b"NOT "):
        found, rest = _evaluate(keys[4:], ask, everything)
        return everything - found, rest
    if keys.startswith(b"OR "):
        first, rest = _evaluate(keys[3:], ask, everything)
        second, rest = _evaluate(rest[1:], ask, everything)
        return first | second, rest
    if keys.startswith(b"("):
        first, rest = _evaluate(keys[1:], ask, everything)
        second, rest = _evaluate(rest[1:], ask, everything)
        return first & second, rest[1:]
    end = _leaf_length(keys)
    return ask(keys[:end]), keys[end:]


REASONS = [
    Reason(
        "THREAD REFS",
        "draft-ietf-morg-inthread section 4: REFS sorts threads by the most recent INTERNALDATE in each thread; Dovecot 2.3 takes the sent date.",
        _same_threads_by_arrival,
    ),
    Reason(
        "SORT",
        "RFC 5256 section 3: what matches exactly by one criterion is sorted by the next, at last by its order in the mailbox; Dovecot, which "
        "numbers texts as they are first sorted, now and then gives newer messages another number for the same text.",
        _equals_parted,
        COMMANDS // 50,
    ),
    Reason(
        r"(?s)OR .*NOT .*KEYWORD work.*KEYWORD work",
        "RFC 3501 section 6.4.4, OR: a message that has the keyword matches, and so does one that has it not; Dovecot folds the two into one.",
        _they_disagree_with_themselves,
    ),
]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Any]:
    with running_dovecot({"imap": free_ports(1)[0]}) as server:
        yield server


def explain(case: Case) -> Reason | None:
    return next((reason for reason in REASONS if re.search(reason.command, case.command.decode()) and reason.differs(case)), None)


def answer(client: Wire, command: bytes) -> Answer:
    """Return what tells the result: tags and texts left out."""
    untagged, tagged = client.command(command)
    told = [re.sub(rb'\(TAG "[^"]*"\)', b"(TAG)", line).rstrip() for line in untagged if not re.match(rb"\* \d+ |\* OK", line)]
    return told, tagged.split(b" ")[0]


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_answers_are_those_of_dovecot(user: str, make_office: Any, dovecot: Any, need_program: Callable[[str], str]) -> None:
    """Hundreds of generated commands over some hundred messages, with flags and dates."""
    need_program("doveadm")
    office = make_office()
    maker = Maker(7 if user == "ana" else 11)
    with ExitStack() as stack:
        mine, other = (Wire(port) for port in (office.ports["imap"], dovecot.ports["imap"]))
        for client in (mine, other):
            stack.callback(client.close)
            client.ok(f"LOGIN {user} {user}-secret".encode())
        for number in range(MESSAGES):
            flags = b" ".join(flag for flag in (b"\\Seen", b"\\Flagged", b"\\Answered", b"work") if maker.random.random() < 0.3)
            date = b'"%2d-Jan-2024 12:%02d:00 +0000"' % (1 + number % 28, number % 60)
            message = maker.message(number)
            for client in (mine, other):
                assert client.append(b"INBOX", message, b"(" + flags + b") " + date + b" ").startswith(b"OK")
        for client in (mine, other):
            client.ok(b"SELECT INBOX")
        differences = []
        used: list[Reason] = []
        for _ in range(COMMANDS):
            command = maker.command()
            ours, theirs = answer(mine, command), answer(other, command)
            reason = explain(Case(command, ours, theirs, mine, other)) if ours != theirs else None
            if reason is not None:
                used.append(reason)
            elif ours != theirs:
                differences.append(f"{command!r}\n  ours   {ours}\n  theirs {theirs}")
    assert [] == differences, "\n".join(differences[:20])
    assert [] == [reason.sentence for reason in REASONS if used.count(reason) > reason.most]
