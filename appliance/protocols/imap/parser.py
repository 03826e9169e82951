"""From the bytes of one command to its value: the verbs of the base protocol.

Owns which verb reads what. Arguments with a grammar of their own live in
``fetch_grammar``, ``search_grammar`` and ``list_grammar``.

Fails:    ``ParseError`` for a broken command.
Does not: look at the state of the connection; a verb that is unknown or out of
          place is the server's matter.
Sources:  RFC 3501 section 9 (command), RFC 4315, RFC 4959, RFC 6154, RFC 6851.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from appliance.model.ids import MailboxName
from appliance.model.mailbox import FlagAction
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.fetch_grammar import read_fetch_items
from appliance.protocols.imap.flag_grammar import read_flag_list, read_flags
from appliance.protocols.imap.grammar import MAX_LIST_ITEMS, ParseError, Reader
from appliance.protocols.imap.list_grammar import read_list, read_status_items
from appliance.protocols.imap.state import ANY, LOGGED_IN, NOT_YET, SELECTED, Condition, State, Verb
from appliance.protocols.imap.sync_grammar import read_fetch_modifiers, read_select_parameters, read_unchanged_since
from appliance.protocols.imap.sync_values import SelectParameters

__all__ = ["VERBS", "decode_base64"]


def decode_base64(raw: bytes) -> bytes:
    """Decode a SASL exchange line. Raises ParseError."""
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        raise ParseError("base64 expected") from None


# Arguments that several verbs share


# One reader per verb


def _nothing(command: Command) -> Callable[[Reader, bool], Command]:
    def read(reader: Reader, uid: bool) -> Command:
        return command

    return read


def _one_mailbox(kind: Callable[[MailboxName], Command]) -> Callable[[Reader, bool], Command]:
    def read(reader: Reader, uid: bool) -> Command:
        reader.read_space()
        return kind(reader.read_mailbox())

    return read


def _selecting(kind: "Callable[[MailboxName, SelectParameters], Command]") -> Callable[[Reader, bool], Command]:
    def read(reader: Reader, uid: bool) -> Command:
        reader.read_space()
        return kind(reader.read_mailbox(), read_select_parameters(reader))

    return read


def _read_id(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    if reader.take(b"NIL") or reader.take(b"()"):
        return commands.Id()
    if not reader.take(b"("):
        reader.fail("list of ID fields")
    fields: list[tuple[bytes, bytes | None]] = []
    while True:
        name = reader.read_string("ID field")
        reader.read_space()
        fields.append((name, reader.read_nstring()))
        if reader.take(b")"):
            return commands.Id(tuple(fields))
        reader.read_space()
        # RFC 2971 section 3.3 allows 30 pairs.
        if len(fields) > 30:
            raise ParseError("too many ID fields")


def _read_authenticate(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    mechanism = reader.read_word("mechanism")
    if not reader.take(b" "):
        return commands.Authenticate(mechanism)
    raw = reader.data[reader.pos :].rstrip(b" ")
    reader.pos = len(reader.data)
    return commands.Authenticate(mechanism, b"" if raw == b"=" else decode_base64(raw))


def _read_login(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    login = reader.read_text("login")
    reader.read_space()
    return commands.Login(login, reader.read_text("password"))


def _read_enable(reader: Reader, uid: bool) -> Command:
    names: list[str] = []
    while reader.take(b" ") and not reader.at_end:
        names.append(reader.read_word("capability"))
    if not names:
        reader.fail("capability")
    return commands.Enable(tuple(names))


def _read_create(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    mailbox = reader.read_mailbox()
    if not reader.take(b" (USE ("):
        return commands.Create(mailbox)
    uses: list[str] = []
    while not reader.take(b")"):
        if uses:
            reader.read_space()
        if not reader.take(b"\\"):
            reader.fail("special use such as \\Sent")
        uses.append("\\" + reader.read_atom("special use").decode("ascii"))
        if len(uses) > MAX_LIST_ITEMS:
            raise ParseError("too many special uses")
    if not reader.take(b")"):
        reader.fail("end of the list of parameters")
    return commands.Create(mailbox, tuple(uses))


def _read_rename(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    old = reader.read_mailbox()
    reader.read_space()
    return commands.Rename(old, reader.read_mailbox())


def _read_list_command(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    return read_list(reader)


def _read_lsub(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    reference = reader.read_reference()
    reader.read_space()
    return commands.Lsub(reference, reader.read_list_mailbox())


def _read_status(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    return commands.Status(mailbox, read_status_items(reader))


def _read_expunge(reader: Reader, uid: bool) -> Command:
    if not uid:
        return commands.Expunge()
    reader.read_space()
    return commands.Expunge(reader.read_sequence_set())


def _read_fetch(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    messages = reader.read_sequence_set()
    reader.read_space()
    return commands.Fetch(messages, read_fetch_items(reader), uid, read_fetch_modifiers(reader, uid=uid))


_STORE_ACTIONS = {"+FLAGS": FlagAction.ADD, "-FLAGS": FlagAction.REMOVE, "FLAGS": FlagAction.REPLACE}


def _read_store(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    messages = reader.read_sequence_set()
    reader.read_space()
    unchanged_since = read_unchanged_since(reader)
    name, _, suffix = reader.read_word("FLAGS, +FLAGS or -FLAGS").partition(".")
    if name not in _STORE_ACTIONS or suffix not in {"", "SILENT"}:
        raise ParseError("FLAGS, +FLAGS or -FLAGS expected, with .SILENT or without")
    reader.read_space()
    flags = read_flag_list(reader) if reader.take(b"(") else read_flags(reader, closed=False)
    return commands.Store(messages, _STORE_ACTIONS[name], flags, suffix == "SILENT", uid, unchanged_since)


def _read_copy(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    messages = reader.read_sequence_set()
    reader.read_space()
    return commands.Copy(messages, reader.read_mailbox(), uid)


def _read_move(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    messages = reader.read_sequence_set()
    reader.read_space()
    return commands.Move(messages, reader.read_mailbox(), uid)


_LOGS_IN = MappingProxyType({Condition.OK: State.AUTHENTICATED})
_LOGS_OUT = MappingProxyType({Condition.OK: State.LOGOUT})
_SELECTS = MappingProxyType({Condition.OK: State.SELECTED, Condition.NO: State.AUTHENTICATED})
_CLOSES = MappingProxyType({Condition.OK: State.AUTHENTICATED})

VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "CAPABILITY": Verb(ANY, _nothing(commands.Capability())),
        "NOOP": Verb(ANY, _nothing(commands.Noop())),
        "LOGOUT": Verb(ANY, _nothing(commands.Logout()), _LOGS_OUT),
        "ID": Verb(ANY, _read_id),
        "STARTTLS": Verb(NOT_YET, _nothing(commands.StartTls())),
        "AUTHENTICATE": Verb(NOT_YET, _read_authenticate, _LOGS_IN),
        "LOGIN": Verb(NOT_YET, _read_login, _LOGS_IN),
        "ENABLE": Verb(LOGGED_IN, _read_enable),
        "SELECT": Verb(LOGGED_IN, _selecting(commands.Select), _SELECTS),
        "EXAMINE": Verb(LOGGED_IN, _selecting(commands.Examine), _SELECTS),
        "CREATE": Verb(LOGGED_IN, _read_create),
        "DELETE": Verb(LOGGED_IN, _one_mailbox(commands.Delete)),
        "RENAME": Verb(LOGGED_IN, _read_rename),
        "SUBSCRIBE": Verb(LOGGED_IN, _one_mailbox(commands.Subscribe)),
        "UNSUBSCRIBE": Verb(LOGGED_IN, _one_mailbox(commands.Unsubscribe)),
        "LIST": Verb(LOGGED_IN, _read_list_command),
        "LSUB": Verb(LOGGED_IN, _read_lsub),
        "STATUS": Verb(LOGGED_IN, _read_status),
        "NAMESPACE": Verb(LOGGED_IN, _nothing(commands.Namespace())),
        "IDLE": Verb(LOGGED_IN, _nothing(commands.Idle())),
        "CHECK": Verb(SELECTED, _nothing(commands.Check())),
        "CLOSE": Verb(SELECTED, _nothing(commands.Close()), _CLOSES),
        "UNSELECT": Verb(SELECTED, _nothing(commands.Unselect()), _CLOSES),
        "EXPUNGE": Verb(SELECTED, _read_expunge, takes_uid=True),
        "FETCH": Verb(SELECTED, _read_fetch, takes_uid=True),
        "STORE": Verb(SELECTED, _read_store, takes_uid=True),
        "COPY": Verb(SELECTED, _read_copy, takes_uid=True),
        "MOVE": Verb(SELECTED, _read_move, takes_uid=True),
    }
)
