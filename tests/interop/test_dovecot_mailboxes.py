"""Commands on mailboxes to carteiro, on both stores, and to a real Dovecot: the answers are equal, or the difference has its reason here."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.interop.conftest import free_ports
from tests.interop.dovecot import running_dovecot
from tests.interop.imapwire import Wire, read_items

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CODES = {b"ALREADYEXISTS", b"TRYCREATE"}
"""Both say these; NONEXISTENT and CANNOT only we say always."""
CHILD_MARKS = {b"\\haschildren", b"\\hasnochildren"}
ACTIVITY = {b"\\marked", b"\\unmarked"}

SCRIPT = rb"""
CREATE a
CREATE a
CREATE a/b
CREATE a/b/c
CREATE tree/
CREATE "with space"
CREATE "quo\"te\\slash"
CREATE &AOk-t&AOk-
CREATE b&-w
CREATE inbox
CREATE INBOX/child
CREATE inbox/Child2
CREATE cur
CREATE new
CREATE new/tmp
CREATE A
LIST "" *
LIST "" %
LIST "" a%
LIST "" %/%
LIST "" *%c
LIST a/ %
LIST a *
LIST "" ""
LIST "" "inbox"
LIST "" "INBOX/%"
LIST "" "Inbox/*"
LIST "" nothing
STATUS a/b (MESSAGES)
STATUS nothing (MESSAGES)
SUBSCRIBE a
SUBSCRIBE a/b/c
CREATE gone
CREATE gone/deep
SUBSCRIBE gone/deep
DELETE gone/deep
DELETE gone
SUBSCRIBE &AOk-t&AOk-
LSUB "" *
LSUB "" %
LSUB "" a/%
LSUB "" gone/%
LSUB a/ %
LIST (SUBSCRIBED) "" *
LIST (SUBSCRIBED) "" %
LIST (SUBSCRIBED RECURSIVEMATCH) "" %
LIST (SUBSCRIBED RECURSIVEMATCH) "" *
LIST (SUBSCRIBED) "" * RETURN (CHILDREN)
LIST "" (a* %t%) RETURN (SUBSCRIBED CHILDREN)
LIST "" % RETURN (CHILDREN)
LIST (RECURSIVEMATCH) "" %
LIST () "" *c
LIST "" (a a/b) RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))
UNSUBSCRIBE a
UNSUBSCRIBE never
LSUB "" *
DELETE a/b
LIST "" *
LIST "" %/%
LIST () "" a/%
LIST "" a/% RETURN (CHILDREN)
SELECT a/b
STATUS a/b (MESSAGES)
DELETE a/b
CREATE a/b
DELETE nothing
DELETE INBOX
DELETE tree
CREATE x
RENAME a x/y
LIST "" *
LSUB "" *
RENAME x x/z
RENAME x A
RENAME nothing else
RENAME cur INBOX
CREATE new2
RENAME new/tmp new2/tmp2
APPEND INBOX {4+}\r\nA: b
APPEND nothing {4+}\r\nA: b
RENAME A INBOX/old
LIST "" *
COPY 1 nothing
SELECT INBOX
COPY 1 nothing
COPY 1 x
STATUS x (MESSAGES)
CLOSE
DELETE INBOX/old
CREATE e
CREATE e/t
RENAME &AOk-t&AOk- e/t/e
LIST "" e*
LIST "" * RETURN (SPECIAL-USE)
LIST "" %%
LIST "" **
LIST "" x/*/c
LIST "" x%y
NAMESPACE
"""


class Reason(NamedTuple):
    """Why a command may be answered otherwise: ``differs`` is given our answer and theirs."""

    command: str
    sentence: str
    differs: Callable[[dict[str, Any], dict[str, Any]], bool]


def _we_say_it_is_gone(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    def plain(answer: dict[str, Any]) -> Any:
        rows = {(kind, attributes - {b"\\noselect", b"\\nonexistent", *CHILD_MARKS}, *rest) for kind, attributes, *rest in answer["list"]}
        return {**answer, "list": rows}

    return bool(plain(ours) == plain(theirs))


REASONS = [
    Reason(
        "LIST",
        "RFC 3501 section 6.3.4: a mailbox that was deleted and has children stays as a name with Noselect; Dovecot tells such a name of a "
        "Maildir as if it could be selected, which it then refuses.",
        _we_say_it_is_gone,
    ),
]


def comparable(command: bytes, untagged: list[bytes], tagged: bytes) -> dict[str, Any]:
    """Return what two correct servers share. An extended LIST may tell of children unasked (RFC 5258 section 4)."""
    is_extended = command.startswith(b"LIST (") or b"RETURN" in command or b'"" (' in command
    left_out = CHILD_MARKS if is_extended and b"CHILDREN" not in command else set()
    code = re.match(rb"[A-Z]+ \[([A-Z]+)[] ]", tagged)
    found: dict[str, Any] = {
        "condition": tagged.partition(b" ")[0].decode(),
        "code": code[1] if code and code[1] in CODES else None,
        "list": set(),
        "status": {},
    }
    for response in untagged:
        words: list[Any] = read_items(response)
        if words[1] in {b"LIST", b"LSUB"}:
            child_info = repr(words[5]).replace("'CHILDINFO'", "CHILDINFO") if len(words) > 5 else ""
            found["list"].add((words[1], frozenset(word.lower() for word in words[2]) - left_out - ACTIVITY, words[4], child_info))
        elif words[1] == b"STATUS":
            found["status"][words[2]] = dict(zip(words[3][::2], words[3][1::2], strict=True))
        elif words[1] == b"NAMESPACE":
            found["namespace"] = words[2:]
    return found


def explained(command: bytes, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return any(re.match(reason.command, command.decode()) and reason.differs(ours, theirs) for reason in REASONS)


def generate(number: int) -> Iterator[bytes]:
    """Yield commands on a small tree of names."""
    chosen = random.Random(number)
    root = b"g%d" % number
    names = [root, root + b"/a", root + b"/a/b", root + b"/a/b/c", root + b"/d", root + b"x", root + b"x/y"]
    for name in names:
        yield b"CREATE " + name  # parents first: Dovecot makes none, which RFC 3501 section 6.3.3 asks for
        yield b"SUBSCRIBE " + name  # while it is there: Dovecot takes no other, as RFC 3501 section 6.3.6 allows
    for _ in range(25):
        name, other = chosen.sample(names, 2)
        command = chosen.choice(
            [
                *[b"CREATE %b" % name] * 2,
                b"DELETE %b" % name,
                b"RENAME %b %b" % (name, other),
                b"UNSUBSCRIBE %b" % name,
                b"STATUS %b (MESSAGES UIDNEXT)" % name,
                b'LIST "" %b*' % root,
                b'LIST "" %b%%' % root,
                b'LIST "" %b/%% RETURN (CHILDREN SUBSCRIBED)' % root,
                b'LIST (SUBSCRIBED RECURSIVEMATCH) "" %b%%' % root,
                b'LIST (SUBSCRIBED) "" %b*' % root,
                b'LSUB "" %b*' % root,
                b'LSUB "" %b%%' % root,
            ]
        )
        if command.startswith((b"CREATE", b"RENAME")):
            levels = command.split()[-1].split(b"/")
            yield from (b"CREATE " + b"/".join(levels[:count]) for count in range(1, len(levels)))
        yield command


def _commands() -> Iterator[bytes]:
    for line in SCRIPT.strip().splitlines():
        yield line.replace(b"\\r\\n", b"\r\n")
    for number in range(40):
        yield from generate(number)


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Any]:
    with running_dovecot({"imap": free_ports(1)[0]}) as server:
        yield server


def _begin_alike(client: Wire) -> None:
    """An account here has its usual folders, subscribed; there it has none."""
    for response in client.ok(b'LIST "" *'):
        name = response.rpartition(b" ")[2]
        client.command(b"UNSUBSCRIBE " + name)
        client.command(b"DELETE " + name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_mailboxes_are_those_of_dovecot(user: str, make_office: Any, dovecot: Any, need_program: Callable[[str], str]) -> None:
    """A script of odd names and refusals, then generated sequences on trees."""
    need_program("doveadm")
    office = make_office()
    differences: list[str] = []
    with ExitStack() as stack:
        mine, other = (Wire(port) for port in (office.ports["imap"], dovecot.ports["imap"]))
        for client in (mine, other):
            stack.callback(client.close)
            client.ok(f"LOGIN {user} {user}-secret".encode())
            _begin_alike(client)
        for command in _commands():
            answers = [client.command(command) for client in (mine, other)]
            ours, theirs = (comparable(command, *answer) for answer in answers)
            if ours != theirs and not explained(command, ours, theirs):
                told = ["\n    ".join(repr(line)[2:-1] for line in [*untagged, tagged]) for untagged, tagged in answers]
                differences.append(f"{command!r}\n  carteiro:\n    {told[0]}\n  dovecot:\n    {told[1]}")
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:60])
