"""Runs SMTP dialogues over the bare core, with the little service that they assume.

The server is mx.example.org. Recipients ``nobody@...`` are refused (550),
``later@...`` deferred (451), every other one is taken; so is every sender but
``refused@...``. Logins: ``ana`` with the password ``secret``. Content is taken
unless its first line is ``Subject: refuse``. Settings are fields of ServerOptions, and
``tls = true`` for implicit TLS, ``early`` for bytes sent before the greeting.
"""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.mechanisms import make_server_mechanism
from appliance.protocols.sasl.scram import derive_scram_keys
from appliance.protocols.sasl.steps import Challenge, CheckPassword, ScramFinished, ServerMechanism
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.events import (
    CLOSED,
    NEED_DATA,
    AuthRequested,
    AuthResponse,
    BdatChunkFinished,
    DataChunk,
    DataFinished,
    Event,
    MailRequested,
    RecipientRequested,
    Request,
)
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.server import SmtpServer

DIALOGS = Path(__file__).parents[2] / "dialogs"
SCRAM_KEYS = derive_scram_keys("secret", b"salt", 4_096)


def load_dialog_format() -> ModuleType:
    """Load the parser by its path: test folders are no packages."""
    name = "dialog_format"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DIALOGS / "dialog_format.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


class LittleService:
    """Answers requests as the docstring above says, and remembers what it was told."""

    def __init__(self, options: ServerOptions, *, tls_active: bool = False) -> None:
        self.server = SmtpServer(options, tls_active=tls_active)
        self.events: list[Event] = []
        self.messages: list[bytes] = []
        self._content: list[bytes] = []
        self._mechanism: ServerMechanism | None = None
        self._scram_ok = False

    def run(self) -> bool:
        """Handle events until the core pauses; True when it closed."""
        while (event := self.server.next_event()) is not NEED_DATA:
            if event is CLOSED:
                return True
            self.events.append(event)
            if isinstance(event, DataChunk):
                self._content.append(event.data)
            elif isinstance(event, Request):
                self._answer(event)
        return False

    def feed(self, data: bytes) -> bool:
        self.server.receive_data(data)
        return self.run()

    def _answer(self, request: Request) -> None:
        if isinstance(request, MailRequested):
            self._content.clear()
            self._answer_path(request.reverse_path)
        elif isinstance(request, RecipientRequested):
            self._answer_path(request.forward_path)
        elif isinstance(request, DataFinished) or (isinstance(request, BdatChunkFinished) and request.last):
            self._take_message()
        elif isinstance(request, AuthRequested | AuthResponse):
            self._answer_auth(request)
        else:
            self.server.accept()

    def _answer_path(self, path: str) -> None:
        refusals = {"nobody": replies.NO_SUCH_ACCOUNT, "later": replies.TRY_LATER, "refused": Reply(550, "5.7.1", "Not from you")}
        refusal = refusals.get(path.partition("@")[0])
        if refusal is None:
            self.server.accept()
        else:
            self.server.send_reply(refusal)

    def _take_message(self) -> None:
        content = b"".join(self._content)
        if content.startswith(b"Subject: refuse"):
            self.server.send_reply(Reply(554, "5.7.1", "Content refused"))
        else:
            self.messages.append(content)
            self.server.accept()

    def _answer_auth(self, request: AuthRequested | AuthResponse) -> None:
        if isinstance(request, AuthRequested):
            self._scram_ok = False
            self._mechanism = make_server_mechanism(request.mechanism, scram_keys=self._keys, nonce="servernonce")
            response = request.initial
        else:
            response = request.data
        if self._scram_ok:
            self.server.send_reply(replies.AUTHENTICATED)
            return
        assert self._mechanism is not None
        step = self._mechanism.step(response)
        if isinstance(step, Challenge):
            self.server.send_challenge(step.data)
        elif isinstance(step, ScramFinished) and step.ok:
            self._scram_ok = True
            self.server.send_challenge(step.final)
        elif isinstance(step, CheckPassword) and (step.login, step.password) == ("ana", "secret"):
            self.server.send_reply(replies.AUTHENTICATED)
        else:
            self.server.send_reply(replies.AUTH_FAILED)

    def _keys(self, login: str) -> ScramKeys:
        return SCRAM_KEYS


class CoreRunner:
    """Plays one dialogue against a LittleService; ``cut`` is the largest piece in which the client's bytes arrive."""

    def __init__(self, text: str, cut: int) -> None:
        self.dialog = load_dialog_format().parse(text)
        settings: dict[str, Any] = {"hostname": "mx.example.org", **self.dialog.settings}
        self.cut = 1 << 30 if settings.pop("whole", False) else cut
        tls_active = settings.pop("tls", False)
        early = settings.pop("early", "")
        if "auth_mechanisms" in settings:
            settings["auth_mechanisms"] = tuple(settings["auth_mechanisms"])
        self.service = LittleService(ServerOptions(**settings), tls_active=tls_active)
        if early:
            self.service.feed(early.encode())
        self.service.server.send_greeting()
        self.closed = self.service.run()
        self.output = b""
        self.told = 0

    def play(self) -> None:
        for step in self.dialog.steps:
            getattr(self, f"_{step.kind}")(step)
        self._collect()
        assert self.output == b"", f"the server said more: {self.output!r}"

    def _collect(self) -> None:
        self.output += self.service.server.data_to_send()

    def _send(self, step: Any) -> None:
        self._collect()
        assert self.output == b"", f"line {step.line}: not expected: {self.output!r}"
        for start in range(0, len(step.data), self.cut):
            self.closed = self.service.feed(step.data[start : start + self.cut]) or self.closed

    def _client_ends(self, step: Any) -> None:
        self.closed = self.service.feed(b"")

    def _take_line(self) -> str:
        line, end, self.output = self.output.partition(b"\r\n")
        assert end, "no whole line"
        return line.decode()

    def _line(self, step: Any) -> None:
        self._collect()
        assert self.output, f"line {step.line}: the server said nothing"
        actual = self._take_line()
        assert step.text == actual, f"line {step.line}"

    def _match(self, step: Any) -> None:
        self._collect()
        actual = self._take_line()
        assert re.fullmatch(step.text, actual), f"line {step.line}: {actual!r}"

    def _many(self, step: Any) -> None:
        self._collect()
        while self.output and re.fullmatch(step.text, self.output.partition(b"\r\n")[0].decode()):
            self._take_line()

    def _server_ends(self, step: Any) -> None:
        assert self.closed, f"line {step.line}: the session goes on"

    def _tls(self, step: Any) -> None:
        self._collect()
        self.service.server.tls_established()

    def _event(self, step: Any) -> None:
        names = [type(event).__name__ for event in self.service.events]
        assert step.text in names[self.told :], f"line {step.line}: only {names[self.told :]}"
        self.told = names.index(step.text, self.told) + 1


@pytest.fixture
def play_dialog() -> Callable[[str, int], None]:
    """Play a dialogue's text, its bytes cut into pieces of at most so many octets."""
    return lambda text, cut: CoreRunner(text, cut).play()


@pytest.fixture
def little_service() -> Callable[..., LittleService]:
    """Make a greeted LittleService from fields of ServerOptions."""

    def make(**settings: Any) -> LittleService:
        service = LittleService(ServerOptions(hostname="mx.example.org", **settings))
        service.server.send_greeting()
        service.run()
        service.server.data_to_send()
        return service

    return make
