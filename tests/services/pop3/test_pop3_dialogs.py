"""The dialogues of tests/dialogs/pop3 against the whole service, each as it stands and byte by byte.

They assume: host ``mail.example``, users ana and bob with the password ``secret``,
three messages, two more in Sent, a peer on this machine. Settings: ``peer`` (an address), ``tls``,
``expunged`` (the uids that are gone at the end; the first message's is 10), ``count`` (so many
messages instead), fields of Pop3Config.
"""

import importlib.util
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trustme

from appliance.config.schema import Pop3Config

DIALOGS = Path(__file__).parents[2] / "dialogs"
MESSAGES = [b"Subject: one\r\n\r\nfirst\r\n.dot\r\n", b"Subject: two\r\n\r\nsecond\r\n", b"Subject: three\r\n\r\n1\r\n2\r\n3\r\n"]
SENT = [b"Subject: mine\r\n\r\nsent\r\n", b"Subject: mine too\r\n\r\nsent\r\n"]
AUTHORITY = trustme.CA()


def load_dialog_format() -> ModuleType:
    """Import tests/dialogs/dialog_format.py, which is on no path."""
    name = "dialog_format"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DIALOGS / "dialog_format.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("mail.example").configure_cert(context)
    return context


async def wrapped(stream: trio.abc.Stream) -> trio.SSLStream[trio.abc.Stream]:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return trio.SSLStream(stream, context, server_hostname="mail.example")


async def run(client: Any, steps: Any, other: Any, *, cut: bool) -> None:
    """Take the client's part; a line read by ``S*`` that does not match is kept for the next step."""
    kept: bytes | None = None
    for step in steps:
        if step.kind in {"line", "match", "many", "server_ends"}:
            line = kept if kept is not None else await client.line()
            kept = None
            if step.kind == "many":
                while re.fullmatch(step.text, line.decode()):
                    line = await client.line()
                kept = line
            elif step.kind == "match":
                assert re.fullmatch(step.text, line.decode()), f"line {step.line}: {line!r}"
            else:
                assert step.text == line.decode(), f"line {step.line}: {line!r}"
        elif step.kind == "send":
            for piece in [step.data[at : at + 1] for at in range(len(step.data))] if cut and len(step.data) < 500 else [step.data]:
                await client.stream.send_all(piece)
        elif step.kind == "tls":
            client.stream = await wrapped(client.stream)
        elif step.kind == "other":
            await other.ask(step.data)
        else:
            assert step.kind == "client_ends", step
            await client.stream.send_eof()


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize(("name", "text"), [(path.stem, path.read_text()) for path in sorted((DIALOGS / "pop3").glob("*.dialog"))])
async def test_dialog(make_house: Callable[..., Any], name: str, text: str, cut: bool) -> None:
    """The service says exactly what the dialogue says, however the client's bytes arrive."""
    dialog = load_dialog_format().parse(text)
    options = dict(dialog.settings)
    peer, tls, expunged, count = (options.pop(key, None) for key in ("peer", "tls", "expunged", "count"))
    messages = MESSAGES[1:2] * count if count else MESSAGES
    house = make_house(messages, tls=server_context() if tls else None, settings=Pop3Config(**options))
    house.stores.others = {"Sent": type(house.mailbox)(dict(enumerate(SENT, 5)))}
    with trio.fail_after(10):
        async with house.session(peer or "127.0.0.1") as client, house.session() as other:
            await other.line()
            await run(client, dialog.steps, other, cut=cut)
    assert (expunged or []) == house.mailbox.expunged
