"""Each capability that is advertised has a dialogue in tests/dialogs in which a client uses it, and each command one in which it is sent.

The tables name the dialogue and the command; the dialogue must have such a command, sent by the client and
answered with success. Those few that are used by being refused or by a challenge are marked.
"""

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.config.schema import ImapConfig
from appliance.protocols.imap.verbs import VERBS
from appliance.protocols.pop3.server import Pop3Server
from appliance.protocols.pop3.state import Verb
from appliance.protocols.sasl.mechanisms import SERVER_MECHANISMS
from appliance.services.imap.capabilities import limit_capabilities, list_capabilities

DIALOGS = Path(__file__).resolve().parents[1] / "dialogs"
LEAST = 45
"""What the best of the others advertises."""
CHALLENGED = r"\+ "
"""A mechanism whose proof cannot stand in a text file, since the server's nonce is new each time."""
REFUSED = r"NO |-ERR "


@dataclass(frozen=True)
class Use:
    """A dialogue, and a command in it with the answer that shows the use; both regular expressions, tags left out."""

    dialog: str
    command: str
    answer: str = r"OK |\+OK"


IMAP = {
    "IMAP4rev1": Use("imap/rev1", "SEARCH RECENT"),
    "IMAP4rev2": Use("imap/rev2", "ENABLE IMAP4rev2"),
    "SASL-IR": Use("imap/sasl", "AUTHENTICATE PLAIN [A-Za-z0-9+/]+="),
    "ID": Use("imap/rev1", r"ID \("),
    "ENABLE": Use("imapsync/enable", "ENABLE CONDSTORE"),
    "LANGUAGE": Use("imap/language", 'LANGUAGE fr "pt-BR"'),
    "LITERAL+": Use("imap/append", r"APPEND Sent \{5\+\}"),
    "LITERAL-": Use("imap/literal_minus", r"APPEND Sent \{5\+\}"),
    "STARTTLS": Use("imap/starttls", "STARTTLS"),
    "LOGINDISABLED": Use("imap/starttls", "LOGIN ana secret", REFUSED),
    "AUTH=PLAIN": Use("imap/sasl", "AUTHENTICATE PLAIN"),
    "AUTH=LOGIN": Use("imap/sasl", "AUTHENTICATE LOGIN"),
    "AUTH=SCRAM-SHA-256": Use("imap/sasl", "AUTHENTICATE SCRAM-SHA-256 ", CHALLENGED),
    "AUTH=SCRAM-SHA-256-PLUS": Use("imap/sasl_plus", "AUTHENTICATE SCRAM-SHA-256-PLUS", CHALLENGED),
    "AUTH=OAUTHBEARER": Use("imap/token", "AUTHENTICATE OAUTHBEARER"),
    "AUTH=EXTERNAL": Use("imap/certificate", "AUTHENTICATE EXTERNAL"),
    "IDLE": Use("imap/idle", "IDLE"),
    "NAMESPACE": Use("imap/rev1", "NAMESPACE"),
    "CHILDREN": Use("mailboxes/create", r"LIST .* RETURN \(CHILDREN\)"),
    "LIST-EXTENDED": Use("mailboxes/list_extended", r"LIST \(SUBSCRIBED RECURSIVEMATCH\)"),
    "LIST-STATUS": Use("mailboxes/status", r"LIST .* RETURN \(STATUS \("),
    "SPECIAL-USE": Use("mailboxes/create", r"LIST \(SPECIAL-USE\)"),
    "CREATE-SPECIAL-USE": Use("mailboxes/create", r"CREATE .* \(USE \("),
    "STATUS=SIZE": Use("mailboxes/status", "STATUS Sent .*SIZE"),
    "ACL": Use("mailboxes/acl", "GETACL"),
    "RIGHTS=texk": Use("mailboxes/acl", "LISTRIGHTS"),
    "LIST-MYRIGHTS": Use("mailboxes/status", "LIST .* MYRIGHTS"),
    "QUOTA": Use("mailboxes/quota", "GETQUOTAROOT"),
    "QUOTA=RES-STORAGE": Use("mailboxes/quota", "GETQUOTA "),
    "QUOTA=RES-MESSAGE": Use("mailboxes/quota", "APPEND INBOX .*Subject: z", REFUSED),
    "QUOTA=RES-MAILBOX": Use("mailboxes/quota", "CREATE More", REFUSED),
    "METADATA": Use("mailboxes/metadata", "SETMETADATA"),
    "LIST-METADATA": Use("mailboxes/metadata", r"LIST .* RETURN \(METADATA \("),
    "UNSELECT": Use("imap/select", "UNSELECT"),
    "UIDPLUS": Use("imap/expunge", "UID EXPUNGE"),
    "MOVE": Use("imap/expunge", "UID MOVE"),
    "ESEARCH": Use("finding/search", r"UID SEARCH RETURN \(MIN MAX COUNT ALL\)"),
    "WITHIN": Use("finding/search", "SEARCH YOUNGER"),
    "FILTERS": Use("finding/search", "SEARCH FILTER"),
    "CONDSTORE": Use("imapsync/condstore", "STORE .*UNCHANGEDSINCE"),
    "QRESYNC": Use("imapsync/qresync", r"SELECT INBOX \(QRESYNC \("),
    "PARTIAL": Use("imapsync/partial", r"UID FETCH .* \(PARTIAL"),
    "UIDONLY": Use("imapsync/uidonly", "ENABLE .*UIDONLY"),
    "UIDBATCHES": Use("imap/uid_batches", "UIDBATCHES"),
    "INPROGRESS": Use("imap/inprogress", "COPY"),
    "NOTIFY": Use("mailboxes/notify", "NOTIFY SET"),
    "SEARCHRES": Use("finding/search", r"FETCH \$"),
    "SORT": Use("finding/sort", r"SORT \(SUBJECT\)"),
    "SORT=DISPLAY": Use("finding/sort", r"SORT \(DISPLAYFROM\)"),
    "ESORT": Use("finding/sort", r"SORT RETURN \(COUNT MIN MAX\)"),
    "THREAD=ORDEREDSUBJECT": Use("finding/thread", "UID THREAD ORDEREDSUBJECT"),
    "THREAD=REFERENCES": Use("finding/thread", "THREAD REFERENCES"),
    "THREAD=REFS": Use("finding/thread", "THREAD REFS"),
    "CONTEXT=SEARCH": Use("finding/context", r"SEARCH RETURN \(UPDATE CONTEXT"),
    "CONTEXT=SORT": Use("finding/context", r"UID SORT RETURN \(UPDATE"),
    "SEARCH=FUZZY": Use("finding/search", "SEARCH .*FUZZY"),
    "MULTISEARCH": Use("finding/multisearch", r"ESEARCH IN \("),
    "I18NLEVEL=1": Use("imap/utf8", 'SEARCH SUBJECT "É"'),
    "MULTIAPPEND": Use("imap/multiappend", r"APPEND Sent .*\{5\+\}\r\nhello \{5\+\}"),
    "COMPRESS=DEFLATE": Use("imap/compress", "COMPRESS DEFLATE"),
    "UNAUTHENTICATE": Use("imap/language", "UNAUTHENTICATE"),
    "UTF8=ACCEPT": Use("imap/utf8", "ENABLE UTF8=ACCEPT"),
    "PREVIEW": Use("imap/details", r"FETCH 1 PREVIEW \(LAZY\)"),
    "SAVEDATE": Use("imap/object_search", "SEARCH SAVEDSINCE"),
    "OBJECTID": Use("imap/details", r"UID FETCH 1 \(EMAILID THREADID\)"),
    "BINARY": Use("imap/binary", r"FETCH 1 BINARY\[1\]"),
    "CATENATE": Use("imap/catenate", r"APPEND Sent CATENATE \(URL"),
    "REPLACE": Use("imap/replace", "REPLACE 1 INBOX"),
    "APPENDLIMIT": Use("mailboxes/status", "STATUS Sent .*APPENDLIMIT"),
    "MESSAGELIMIT": Use("imap/message_limit", "UID FETCH"),
    "SAVELIMIT": Use("imap/save_limit", "UID COPY 1:2"),
}
POP3 = {
    "TOP": Use("pop3/top", "TOP 3 0"),
    "UIDL": Use("pop3/folder", "UIDL"),
    "USER": Use("pop3/session", "USER ana"),
    "SASL": Use("pop3/sasl", "AUTH PLAIN [A-Za-z0-9]"),
    "RESP-CODES": Use("pop3/in_use", "PASS secret", r"-ERR \[IN-USE\] "),
    "AUTH-RESP-CODE": Use("pop3/no_folder", "PASS wrong", r"-ERR \[AUTH\] "),
    "PIPELINING": Use("pop3/pipelining", "USER ana\r\nPASS secret\r\n"),
    "EXPIRE": Use("pop3/keeping", "DELE 1"),
    "UTF8": Use("pop3/utf8", "UTF8"),
    "LANG": Use("pop3/lang", "LANG pt-BR"),
    "IMPLEMENTATION": Use("pop3/capabilities", "CAPA"),
    "LOGIN-DELAY": Use("pop3/login_delay", "PASS secret", r"-ERR \[LOGIN-DELAY\] "),
    "STLS": Use("pop3/login_needs_tls", "STLS"),
}


@pytest.fixture(scope="module")
def dialog_format() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dialog_format_of_transcripts", DIALOGS / "dialog_format.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def advertised_by_imap() -> set[str]:
    """Everything that is told at some moment, under some settings; a name without what stands behind ``=`` where that is a number."""
    found: set[str] = set()
    for settings in (ImapConfig(message_limit=1000), ImapConfig(save_limit=1000)):
        for logged_in, allowed, minus in ((False, True, False), (False, False, False), (True, True, False), (True, True, True)):
            found |= {
                *list_capabilities(
                    logged_in=logged_in,
                    start_tls=True,
                    login_allowed=allowed,
                    append_limit=5,
                    mechanisms=[*SERVER_MECHANISMS, "OAUTHBEARER", "EXTERNAL"],
                    limits=limit_capabilities(settings),
                    literal_minus=minus,
                )
            }
    return {re.sub(r"(LIMIT)=\d+$", r"\1", name) for name in found}


def advertised_by_pop3() -> set[str]:
    core = Pop3Server(tls_available=True, mechanisms=("PLAIN",), login_delay_s=60)
    core.data_to_send()
    core.receive_data(b"CAPA\r\n")
    core.next_event()
    lines = bytes(core.data_to_send()).decode("ascii").split("\r\n")
    return {line.partition(" ")[0] for line in lines[lines.index("+OK Capability list follows") + 1 : lines.index(".")]}


def test_each_capability_has_its_row() -> None:
    """No capability without a dialogue, no row without a capability, and more of them than any other server has."""
    imap = advertised_by_imap()
    assert set(IMAP) == imap
    assert len({name for name in imap if not name.startswith("AUTH=")}) > LEAST
    assert set(POP3) == advertised_by_pop3()


@dataclass
class Command:
    """What a client sent up to its end, in one write or several, and what it was answered."""

    sent: str
    answers: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        return bool(self.answers) and re.match(CHALLENGED, self.answers[-1]) is not None


def commands_of(dialog: Any) -> list[Command]:
    """Return the commands of a dialogue; what follows a continuation request belongs to the same one."""
    found: list[Command] = []
    for step in dialog.steps:
        if step.kind == "send":
            text = step.data.decode("utf-8", "replace")
            if found and found[-1].goes_on:
                found[-1].sent += text
            else:
                found.append(Command(text))
        elif found and step.kind in {"line", "match"}:
            found[-1].answers.append(step.text.replace("\\", "") if step.kind == "match" else step.text)
    return found


@pytest.mark.parametrize(("protocol", "name"), [("imap", name) for name in IMAP] + [("pop3", name) for name in POP3])
def test_the_dialogue_uses_it(protocol: str, name: str, dialog_format: ModuleType) -> None:
    """The client sends it, and has the answer that a use has."""
    use = (IMAP if protocol == "imap" else POP3)[name]
    dialog = dialog_format.parse((DIALOGS / f"{use.dialog}.dialog").read_text(encoding="utf-8"))
    tag = r"(?P<tag>\w+) " if protocol == "imap" else ""
    sent = [(command, found) for command in commands_of(dialog) if (found := re.match(f"(?s){tag}{use.command}", command.sent))]
    assert sent, f"{use.dialog} has no {use.command}"
    used = [
        answer
        for command, found in sent
        for answer in command.answers
        if re.match(use.answer if use.answer == CHALLENGED or not tag else f"{found['tag']} ({use.answer})", answer)
    ]
    assert used, f"{use.dialog}: {use.command} is never answered {use.answer}"


def test_every_command_is_in_a_dialogue(dialog_format: ModuleType) -> None:
    """A client sends each command of IMAP and of POP3 somewhere."""
    sent = {"imap": "", "pop3": ""}
    for path in DIALOGS.glob("*/*.dialog"):
        if path.parent.name != "smtp":
            commands = commands_of(dialog_format.parse(path.read_text(encoding="utf-8")))
            sent["pop3" if path.parent.name == "pop3" else "imap"] += "".join(command.sent for command in commands)
    assert [] == [name for name in VERBS if not re.search(rf"(?im)^\w+ (UID )?{re.escape(name)}\b", sent["imap"])]
    assert [] == [verb for verb in Verb if not re.search(rf"(?im)^{verb.value.decode()}\b", sent["pop3"])]
