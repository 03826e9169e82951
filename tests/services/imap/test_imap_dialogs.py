"""Runs the dialogues in tests/dialogs/imap over whole sessions on memory streams, over mail in memory, in a Maildir and in an mbox.

INBOX holds two copies of the plain message. Settings are fields of ImapConfig, and ``peer``, the client's address;
``messages``, how many copies; ``slow``, what of the store takes 25 seconds; ``token``, an access token of ana's;
``certificate``, whose it is that the client shows in TLS, which is ana.
"""

import importlib.util
import re
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trustme

from appliance.config.schema import ImapConfig
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.net.deflate import DeflateStream
from appliance.storage.stores import FileMailStores
from tests.services.imap.test_progress import SlowOffload

House = Any
Make = Callable[..., House]
DIALOGS = Path(__file__).resolve().parents[2] / "dialogs"
INTERNAL_DATE_S = 1_000.0


def load_format() -> ModuleType:
    name = "dialog_format"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DIALOGS / "dialog_format.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mail.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def raw_line(client: Any) -> str:
    """Return one line of the wire, literals not joined."""
    while b"\r\n" not in client.rest:
        data = bytes(await client.stream.receive_some())
        if not data:
            return "<end>"
        client.rest += data
    line, _, client.rest = client.rest.partition(b"\r\n")
    return str(line, "utf-8")


OWN = re.compile(
    r"(?<=UIDVALIDITY )\d+|(?<=APPENDUID )\d+|(?<=COPYUID )\d+|(?<=HIGHESTMODSEQ )\d+|(?<=MODSEQ \()\d+|(?<=MAILBOXID \()[\w-]+"
)
"""What each store numbers as it likes."""


async def play(client: Any, steps: Any, tls: ssl.SSLContext | None, other: Any = None, *, any_store: bool = False) -> None:
    """Play a dialogue. ``any_store``: the numbers that a store makes up may be others than those written down."""
    skipping = ""
    shown = partial(OWN.sub, "?") if any_store else str
    for step in steps:
        where = f"line {step.line}"
        if step.kind == "send":
            await client.send(step.data)
        elif step.kind == "client_ends":
            await client.stream.send_eof()
        elif step.kind == "many":
            skipping = step.text
        elif step.kind == "other":
            await other.ask(step.data)
        elif step.kind == "tls" and tls is not None:
            client.stream = trio.SSLStream(client.stream, tls, server_hostname="mail.example")
            await client.stream.do_handshake()
        elif step.kind == "deflate":
            client.stream = DeflateStream(client.stream)
        else:
            line = await raw_line(client)
            while skipping and re.fullmatch(skipping, line):
                line = await raw_line(client)
            skipping = ""
            if step.kind == "match":
                assert re.fullmatch(step.text, line), f"{where}: {line}"
            else:
                assert (where, "<end>" if step.kind == "server_ends" else shown(step.text)) == (where, shown(line))


@pytest.fixture(params=sorted((DIALOGS / "imap").glob("*.dialog")), ids=lambda path: path.stem)
def dialog(request: pytest.FixtureRequest) -> Any:
    """Each dialogue, parsed."""
    return load_format().parse(request.param.read_text(encoding="utf-8"))


@pytest.fixture(params=["memory", "maildir", "mbox"])
def make_filled(make_house: Make, plain: bytes, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return a function that builds a service over an INBOX of so many plain messages, and a mailbox Sent, in each kind of store."""
    opened: list[FileMailStores] = []

    def make(copies: int, **settings: Any) -> House:
        if request.param == "memory":
            return make_house([plain] * copies, **settings)
        house = make_house(**settings)
        sent = {SpecialUse.SENT: MailboxName("Sent")}
        stores = FileMailStores(tmp_path / "data", house.feed, formats=request.param, special_folders=sent, clock=ManualClock(1_000.0))
        opened.append(stores)
        stores.deliver(AccountName("ana"), [(INBOX, NewMessage(MemoryContent(plain), INTERNAL_DATE_S))] * copies)
        house.service._shared = replace(house.service._shared, stores=stores)
        return house

    yield make
    for stores in opened:
        stores.close()


def make_dialog_house(
    options: dict[str, Any], make_filled: Make, contexts: tuple[ssl.SSLContext, ssl.SSLContext], authority: trustme.CA
) -> House:
    """Take the settings that are no fields of ImapConfig out of ``options``; return the house they ask for."""
    token, name, slow = (options.pop(key, "") for key in ("token", "certificate", "slow"))
    copies = options.pop("messages", 2)
    offers: dict[str, Any] = {}
    if token:

        async def check(shown: str, wanted: str, client: str) -> tuple[AccountName | None, str]:
            await trio.lowlevel.checkpoint()
            return (AccountName("ana"), "") if shown == token and wanted in {"", "ana"} else (None, "token: unknown")

        offers["check_token"] = check
    if name:

        def account(names: Sequence[str], wanted: str) -> AccountName | None:
            return AccountName("ana") if name in names and wanted in {"", "ana"} else None

        offers["account_of_names"] = account
        contexts[0].verify_mode = ssl.CERT_OPTIONAL
        authority.configure_trust(contexts[0])
        authority.issue_cert(name).configure_cert(contexts[1])
    house = make_filled(copies, settings=ImapConfig(**options), tls=contexts[0], **offers)
    if slow:
        house.service._shared = replace(house.service._shared, offload=SlowOffload(slow))
    return house


async def test_dialog(
    dialog: Any,
    make_filled: Make,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    authority: trustme.CA,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Line by line; where both sides wait, time jumps to what happens next."""
    options = dict(dialog.settings)
    peer = options.pop("peer", "127.0.0.1")
    house = make_dialog_house(options, make_filled, contexts, authority)
    async with house.session(peer=peer) as client:
        with trio.fail_after(86_400):
            await play(client, dialog.steps, contexts[1], any_store=True)
