"""A mail program that appends, flags, moves and expunges while the server dies, and remembers what it was promised.

What was acknowledged is certain: it must hold after every restart. What was
under way when the connection broke may have happened or not, and is taken as it
is found. UIDs, once told, stay.
"""

import imaplib
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .mailboxes import imap_session
from .message import make_message
from .server import Server

__all__ = ["ImapUser"]

_FOLDERS = ("INBOX", "Done")
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Work", "Later")
_DELETED_AT_ONCE = 10
_NAMELESS = "without token"
_UID = re.compile(rb"UID (\d+)")
_FLAG_LIST = re.compile(rb"FLAGS \(([^)]*)\)")
_TOKEN = re.compile(rb"X-Token: (\S+)")
_APPENDED = re.compile(rb"APPENDUID (\d+) (\d+)")


@dataclass(slots=True)
class _Known:
    """One message as the client must believe it to be; ``doubtful``: a step on it was not answered."""

    folder: str
    uid: int = 0
    flags: set[str] = field(default_factory=set)
    is_gone: bool = False
    doubtful: str = ""


class ImapUser:
    """One account, one thread."""

    def __init__(self, server: Server, user: str, seed: int, name: str) -> None:
        self._server = server
        self.user = user
        self._chance = random.Random(f"{seed} {user}")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._name = f"imap-{name}-{user}-"
        self._count = 0
        self._validity: dict[str, int] = {}
        self._known: dict[str, _Known] = {}
        self.deleted_mail: set[str] = set()
        """Tokens of delivered messages that were expunged for certain: they must not come back."""
        self.doubtful_mail: set[str] = set()
        """Those that were marked for it: they may be gone."""
        self.acknowledged = 0
        self.refusals: list[str] = []
        self.faults: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End; what was promised is compared once more."""
        self._stopping.set()
        self._thread.join()
        with imap_session(self._server, self.user) as client:
            self._compare(client)

    def is_mine(self, token: str) -> bool:
        """Tell whether this person made a message, or it is nobody's."""
        return token.startswith((self._name, _NAMELESS))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with imap_session(self._server, self.user) as client:
                    client.create("Done")
                    self._delete_mail(client, self._compare(client))
                    for _ in range(300):
                        if self._stopping.is_set():
                            return
                        self._step(client)
                        time.sleep(self._chance.random() * 0.01)
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.02)

    # Steps

    def _step(self, client: imaplib.IMAP4) -> None:
        candidates = [token for token, known in self._known.items() if not known.is_gone and known.folder == "INBOX" and known.uid]
        kind = self._chance.choices(("append", "store", "expunge", "move"), (4, 4, 1 if len(candidates) < 60 else 6, 1))[0]
        if kind == "append" or not candidates:
            self._append(client)
            return
        token = self._chance.choice(candidates)
        known = self._known[token]
        known.doubtful = kind
        if kind == "store":
            self._store(client, known)
        elif kind == "move":
            self._answered(client.uid("MOVE", str(known.uid), "Done"), known)
            known.folder, known.uid = "Done", 0
        else:
            self._answered(client.uid("STORE", str(known.uid), "+FLAGS.SILENT", "(\\Deleted)"), known)
            known.doubtful = kind
            self._answered(client.uid("EXPUNGE", str(known.uid)), known)
            known.is_gone = True

    def _append(self, client: imaplib.IMAP4) -> None:
        self._count += 1
        token = f"{self._name}{self._count}"
        size = self._chance.choice((1_000, 3_000, 20_000, 150_000))
        flags = self._chance.sample(_FLAGS, self._chance.randint(0, 2))
        known = self._known[token] = _Known("INBOX", flags=set(flags), doubtful="append")
        answer = client.append("INBOX", f"({' '.join(flags)})", "", make_message(token, size))
        found = _APPENDED.search(answer[1][0] or b"")
        self._answered(answer, known)
        assert found is not None, answer
        known.uid = int(found.group(2))

    def _store(self, client: imaplib.IMAP4, known: _Known) -> None:
        flag = self._chance.choice(_FLAGS)
        if flag in known.flags:
            self._answered(client.uid("STORE", str(known.uid), "-FLAGS.SILENT", f"({flag})"), known)
            known.flags.discard(flag)
        else:
            self._answered(client.uid("STORE", str(known.uid), "+FLAGS.SILENT", f"({flag})"), known)
            known.flags.add(flag)

    def _answered(self, answer: tuple[str, object], known: _Known) -> None:
        """Take an OK as a promise; anything else ends the session, and what is true is found out anew."""
        if answer[0] != "OK":
            self.refusals.append(f"{known.doubtful}: {answer}")
            raise imaplib.IMAP4.abort(str(answer))
        self.acknowledged += 1
        known.doubtful = ""

    # Comparing

    def _delete_mail(self, client: imaplib.IMAP4, mail: Mapping[str, int]) -> None:
        """Expunge what came last: its queue entry may still be there, kept by the server that was killed."""
        newest = sorted(mail, key=lambda token: mail[token])[-_DELETED_AT_ONCE:]
        if not newest:
            return
        self.doubtful_mail.update(newest)
        uids = ",".join(str(mail[token]) for token in newest)
        for words in (("STORE", uids, "+FLAGS.SILENT", "(\\Deleted)"), ("EXPUNGE", uids)):
            answer = client.uid(*words)
            if answer[0] != "OK":
                self.refusals.append(f"{words[0]} of mail: {answer}")
                raise imaplib.IMAP4.abort(str(answer))
        self.acknowledged += 1
        self.deleted_mail.update(newest)

    def _compare(self, client: imaplib.IMAP4) -> dict[str, int]:
        """Return token -> UID of messages that came by mail."""
        found: dict[str, list[tuple[str, int, set[str]]]] = {}
        for folder in _FOLDERS:
            if client.select(folder)[0] != "OK":
                if any(one.folder == folder and not one.is_gone and not one.doubtful for one in self._known.values()):
                    self.faults.append(f"{self.user}: folder {folder} is gone")
                continue
            self._look_in(client, folder, found)
        client.select("INBOX")
        for token in list(self._known):
            self._compare_one(token, found.pop(token, []))
        mail = {token: places[0][1] for token, places in found.items() if not self.is_mine(token)}
        self.faults += [f"{self.user}: {token} came by mail, was expunged, and is back" for token in mail.keys() & self.deleted_mail]
        for token in found.keys() - mail.keys():
            places = found[token]
            self.faults.append(f"{self.user}: {token!r} stands in {places} and was never put there")
        return {token: uid for token, uid in mail.items() if found[token][0][0] == "INBOX"}

    def _look_in(self, client: imaplib.IMAP4, folder: str, found: dict[str, list[tuple[str, int, set[str]]]]) -> None:
        validity = int(client.response("UIDVALIDITY")[1][0] or b"0")
        if self._validity.setdefault(folder, validity) != validity:
            self.faults.append(f"{self.user}: UIDVALIDITY of {folder} was {self._validity[folder]}, is {validity}")
            self._validity[folder] = validity
        for part in client.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Token)])")[1]:
            if not isinstance(part, tuple):
                continue
            uid, flags, token = _UID.search(part[0]), _FLAG_LIST.search(part[0]), _TOKEN.search(part[1])
            assert uid is not None
            assert flags is not None
            name = token.group(1).decode() if token else f"{_NAMELESS}, uid {uid.group(1).decode()}"
            words = {word.decode() for word in flags.group(1).split()} - {"\\Recent"}
            found.setdefault(name, []).append((folder, int(uid.group(1)), words))

    def _compare_one(self, token: str, places: list[tuple[str, int, set[str]]]) -> None:
        known = self._known[token]
        doubtful, known.doubtful = known.doubtful, ""
        if doubtful:
            self._resolve(token, known, doubtful, places)
            return
        if known.is_gone:
            if places:
                self.faults.append(f"{self.user}: {token} was expunged and is back in {places}")
            return
        if len(places) != 1 or places[0][0] != known.folder:
            self.faults.append(f"{self.user}: {token} should be in {known.folder} once, is in {places}")
            known.is_gone = not places
        if places:
            folder, uid, flags = places[0]
            if known.uid and uid != known.uid:
                self.faults.append(f"{self.user}: {token} had uid {known.uid}, has {uid}")
            if flags != known.flags:
                self.faults.append(f"{self.user}: {token} had flags {sorted(known.flags)}, has {sorted(flags)}")
            known.folder, known.uid, known.flags = folder, uid, flags

    def _resolve(self, token: str, known: _Known, doubtful: str, places: list[tuple[str, int, set[str]]]) -> None:
        allowed = {"append": (0, 1), "store": (1,), "expunge": (0, 1), "move": (1, 2)}[doubtful]
        if len(places) not in allowed:
            self.faults.append(f"{self.user}: {token}, interrupted in {doubtful}, is in {places}")
        if not places:
            known.is_gone = True
            return
        folder, uid, flags = places[-1]
        if doubtful != "move" and known.uid and uid != known.uid:
            self.faults.append(f"{self.user}: {token} had uid {known.uid}, has {uid} after an interrupted {doubtful}")
        known.folder, known.uid, known.flags = folder, uid, flags
        if len(places) == 2:
            # A move that only copied: from now on two messages of one name, which would only confuse what follows.
            known.doubtful = "move"
