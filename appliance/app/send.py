"""``carteiro send``: what programs know as /usr/sbin/sendmail.

Owns who the sender is, which server is asked, and how a failure is told: named
recipients on standard error, an exit code from sysexits.h, the message itself in
``dead.letter``. There is no drop directory: a server that is being restarted is
waited for, one that is down is a failure that the caller sees at once.

Fails: 64 usage, 65 message, 67 no such recipient, 69 refused, 71 no temporary
file, 75 no server or not now, 78 a settings file named by ``-c`` that is not valid.
Sources: Postfix sendmail(1), sysexits(3), mailname(5).
"""

import os
import pwd
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from appliance.app.composed import CHUNK_BYTES, ComposedMessage, MessageError, Originator, header_recipients, read_message
from appliance.app.configfile import DEFAULT_PATH
from appliance.app.deadletter import DeadLetterError, append_dead_letter, dead_letter_path
from appliance.app.handover import PATIENCE_S, Conversation, Target, UnreachableError, Verdict, connect
from appliance.app.sendmail_options import SEND_HELP, Mode, SendOptions, Trouble, UsageError, parse_send_options
from appliance.app.stdio_smtp import pass_session
from appliance.config.decode import decode
from appliance.config.load import read_text
from appliance.config.problem import ConfigError
from appliance.config.schema import Config
from appliance.message.address import addresses
from appliance.message.date import format_date
from appliance.model.envelope import Body, Envelope, EnvelopeRecipient
from appliance.net.endpoints import Endpoint, ListenError, parse_endpoint
from appliance.protocols.smtp.grammar import GrammarError, format_path, needs_smtputf8, parse_path
from appliance.protocols.smtp.replies import Reply

__all__ = ["main"]

EX_OK: Final = 0
EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_UNAVAILABLE: Final = 69
EX_OSERR: Final = 71
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78
MEMORY_BYTES: Final = 1_048_576

_USUAL: Final = Target(Endpoint("127.0.0.1", 25))
_REACHED_BY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - all addresses, reached by the loopback's
_MAILNAME: Final = Path("/etc/mailname")


def main(arguments: Sequence[str]) -> int:
    """Do what sendmail would do and return its exit code."""
    try:
        options = parse_send_options(arguments)
        if options.help:
            print(SEND_HELP)
            return EX_OK
        return _DUTIES[options.mode](options)
    except UsageError as error:
        return _complain(str(error), EX_USAGE)
    except MessageError as error:
        return _complain(str(error), EX_DATAERR)
    except ConfigError as error:
        return _complain(str(error), EX_CONFIG)


def _complain(text: str, code: int) -> int:
    print(f"carteiro send: {text}", file=sys.stderr)
    return code


# Where to, and as whom


def _settings(options: SendOptions) -> Config | None:
    """Return the settings; None when nobody named a file and the usual one cannot be read, as by most users. Raises ConfigError."""
    path = options.config or os.environ.get("CARTEIRO_CONFIG")
    if path:
        return decode(read_text(Path(path)), path)
    try:
        return decode(read_text(Path(DEFAULT_PATH)), DEFAULT_PATH)
    except ConfigError:
        return None


def _targets(options: SendOptions, config: Config | None) -> list[Target]:
    """Return where the server may be reached, the likeliest first. Raises UsageError."""
    if options.server is not None:
        try:
            endpoint = parse_endpoint(options.server)
        except ListenError:
            host, colon, port = options.server.rpartition(":")
            if not colon or not port.isdigit():
                raise UsageError(f"--server {options.server} is not HOST:PORT") from None
            endpoint = Endpoint(host, int(port))
        return [Target(endpoint, lmtp=bool(endpoint.path))]
    if config is None:
        return [_USUAL]
    found = [_reachable(parse_endpoint(text)) for text in config.smtp.listen]
    # An address of the loopback may send anywhere (trusted_networks), one of the LAN perhaps not.
    found.sort(key=lambda endpoint: not (endpoint.host.startswith("127.") or endpoint.host == "::1"))
    locals_only = [Target(_reachable(parse_endpoint(text)), lmtp=True) for text in config.lmtp.listen]
    return [*map(Target, found), *locals_only] or [_USUAL]


def _reachable(endpoint: Endpoint) -> Endpoint:
    return Endpoint(_REACHED_BY.get(endpoint.host, endpoint.host), endpoint.port, endpoint.path)


def _account() -> tuple[str, str]:
    """Return login name and full name of who calls."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return f"uid{os.getuid()}", ""
    full_name = os.environ.get("NAME") or entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
    return entry.pw_name, full_name


def _mailname() -> str:
    try:
        return _MAILNAME.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


# Recipients


def _parse_recipients(words: Sequence[str]) -> list[str]:
    """Return the addresses on the command line; a word may be a whole list, as in a header field. Raises UsageError."""
    found = [address.path for word in words for address in addresses(word.encode("utf-8", "surrogateescape"))]
    for address in found:
        _require_path(address)
    return list(dict.fromkeys(found))


def _require_path(address: str, *, is_reverse: bool = False) -> None:
    """Refuse what is no address: nothing else may become part of an SMTP command."""
    text = format_path(address)
    try:
        _, end = parse_path(text, is_reverse=is_reverse, unqualified=True)
    except GrammarError as error:
        raise UsageError(f"{address!r} is not an address: {error}") from error
    if end != len(text):
        raise UsageError(f"{address!r} is not an address")


class _Qualifier:
    """Gives bare names a domain, unless the server does it better itself."""

    def __init__(self, domain: str) -> None:
        self._domain = domain

    def __call__(self, address: str) -> str:
        return f"{address}@{self._domain}" if address and self._domain and "@" not in address else address


def _qualifier(conversation: Conversation, config: Config | None, bare: str) -> _Qualifier:
    """Return how bare addresses are completed.

    With settings: by their origin. Without: the server is asked whether it takes a
    bare address from us, for it knows its origin; if not, its own name is one of its domains.
    """
    if config is not None:
        return _Qualifier(config.effective_origin)
    probe = conversation.ask(f"MAIL FROM:<{bare}>")
    if probe.is_positive:
        conversation.ask("RSET")
        return _Qualifier("")
    return _Qualifier(conversation.server_name)


# Sending


def _deliver(options: SendOptions) -> int:
    config = _settings(options)
    targets = _targets(options, config)
    wanted = _parse_recipients(options.recipients)
    if not wanted and not options.from_header:
        raise UsageError("name recipients, or take them from the header with -t")
    sender = options.sender if options.sender is not None else _account()[0]
    sender = _bare_path(sender)
    import tempfile  # 7 ms, for this mode alone

    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, prefix="carteiro-send-") as spool:
        try:
            message = read_message(partial(os.read, sys.stdin.fileno()), spool, ignore_dots=options.ignore_dots)
        except OSError as error:
            return _complain(f"the message cannot be kept while it is sent: {error.strerror}; look at TMPDIR and its space", EX_OSERR)
        if options.from_header:
            wanted = list(dict.fromkeys([*wanted, *_named_in_header(message)]))
        if not wanted:
            raise UsageError("no recipient: the header names nobody in To, Cc or Bcc")
        return _Handover(options, config, message, sender, wanted).run(targets)


def _named_in_header(message: ComposedMessage) -> list[str]:
    found = header_recipients(message)
    try:
        for address in found:
            _require_path(address)
    except UsageError as error:
        raise MessageError(f"in the header, {error}") from error
    return found


def _bare_path(text: str) -> str:
    """Return the address in ``-f``, which may be written as in a header field. Raises UsageError."""
    if not text:
        return ""
    found = addresses(text.encode("utf-8", "surrogateescape"))
    if len(found) != 1:
        raise UsageError(f"-f {text!r} is not one address")
    _require_path(found[0].path, is_reverse=True)
    return found[0].path


class _Handover:
    """One message on its way to the server, and what is told about it."""

    def __init__(self, options: SendOptions, config: Config | None, message: ComposedMessage, sender: str, wanted: list[str]) -> None:
        self._options = options
        self._config = config
        self._message = message
        self._sender = sender
        self._wanted = wanted
        self._now_s = time.time()

    def run(self, targets: Sequence[Target]) -> int:
        """Send; return the exit code."""
        self._complete(self._config.effective_origin if self._config else _mailname() or socket.gethostname())
        try:
            sock, target = connect(targets, patience_s=PATIENCE_S)
            with Conversation(sock, target, name=_helo(self._config)) as conversation:
                conversation.open()
                verdict = self._send(conversation)
        except UnreachableError as error:
            self._tell([f"no server takes the message: {error}"])
            return EX_UNAVAILABLE if error.refused else EX_TEMPFAIL
        return self._report(verdict)

    def _complete(self, origin: str) -> None:
        options = self._options
        sender = self._sender or "MAILER-DAEMON"
        self._message.complete(
            Originator(
                address=sender if "@" in sender else f"{sender}@{origin}",
                full_name=options.full_name if options.full_name is not None else _account()[1],
                origin=origin,
                date=format_date(self._now_s, time.localtime(self._now_s).tm_gmtoff // 60),
                message_id=f"<{time.strftime('%Y%m%d%H%M%S', time.gmtime(self._now_s))}.{secrets.token_hex(8)}@{origin}>".encode(),
            )
        )

    def _send(self, conversation: Conversation) -> Verdict:
        qualify = _qualifier(conversation, self._config, self._sender.partition("@")[0] or "postmaster")
        if self._config is None and not _mailname():
            self._complete(conversation.server_name or "localhost")
        options, message = self._options, self._message
        recipients = tuple(EnvelopeRecipient(qualify(address), options.notify) for address in self._wanted)
        sender = qualify(self._sender)
        envelope = Envelope(
            sender,
            recipients,
            body=Body.EIGHT_BIT_MIME if options.is_8bit or message.is_8bit else Body.SEVEN_BIT,
            smtputf8=any(map(needs_smtputf8, [sender, *self._wanted])),
            ret=options.ret,
            envid=options.envid,
        )
        return conversation.send(envelope, self._pieces, message.wire_size)

    def _pieces(self) -> Iterator[bytes]:
        yield self._message.header
        self._message.spool.seek(0)
        while data := self._message.spool.read(CHUNK_BYTES):
            yield data

    def _report(self, verdict: Verdict) -> int:
        pairs = list(zip(self._wanted, verdict.replies, strict=True))
        if self._options.verbose:
            print("\n".join(f"{address}: {reply}" for address, reply in pairs if reply.is_positive))
        refused = [(address, reply) for address, reply in pairs if not reply.is_positive]
        if not refused:
            return EX_OK
        self._tell([f"{address}: {reply}" for address, reply in refused])
        return _exit_code([reply for _, reply in refused], some_taken=len(refused) < len(pairs))

    def _tell(self, lines: list[str]) -> None:
        """Say what went wrong in the way that was asked for (-oe)."""
        if self._options.trouble is Trouble.NOTHING:
            return
        for line in lines:
            _complain(line, 0)
        if self._options.trouble is Trouble.TEXT:
            return
        try:
            path = dead_letter_path()
            append_dead_letter(path, self._sender, self._pieces(), now_s=self._now_s)
            _complain(f"the message is in {path}", 0)
        except DeadLetterError as error:
            _complain(f"the message is lost: {error}", 0)


def _helo(config: Config | None) -> str:
    if config is not None:
        return config.effective_hostname
    return socket.gethostname() or "localhost"


def _exit_code(refusals: Sequence[Reply], *, some_taken: bool) -> int:
    """Return the code. "Try later" is said only when nobody got the message: trying again would send it twice to those who did."""
    if not some_taken and all(reply.is_temporary for reply in refusals):
        return EX_TEMPFAIL
    unknown = all(reply.enhanced.startswith("5.1.") for reply in refusals if not reply.is_temporary)
    return EX_NOUSER if unknown and not any(reply.is_temporary for reply in refusals) else EX_UNAVAILABLE


# The other modes


def _verify(options: SendOptions) -> int:
    """Say what the server would do with each recipient; no message is sent."""
    config = _settings(options)
    wanted = _parse_recipients(options.recipients)
    if not wanted:
        raise UsageError("name the recipients to verify")
    refusals: list[Reply] = []
    try:
        sock, target = connect(_targets(options, config), patience_s=PATIENCE_S)
        with Conversation(sock, target, name=_helo(config)) as conversation:
            conversation.open()
            qualify = _qualifier(conversation, config, "postmaster")
            conversation.ask("MAIL FROM:<>")
            for address in wanted:
                reply = conversation.ask(f"RCPT TO:{format_path(qualify(address))}")
                print(f"{address}: {reply}")
                refusals += [] if reply.is_positive else [reply]
    except UnreachableError as error:
        return _complain(f"no server to ask: {error}", EX_TEMPFAIL)
    return _exit_code(refusals, some_taken=len(refusals) < len(wanted)) if refusals else EX_OK


def _speak_smtp(options: SendOptions) -> int:
    """Let the caller speak to the server itself."""
    try:
        sock, _ = connect(
            [target for target in _targets(options, _settings(options)) if not target.lmtp] or [_USUAL], patience_s=PATIENCE_S
        )
    except UnreachableError as error:
        print("421 4.3.2 The mail server is not running\r", flush=True)
        return _complain(f"no server answers: {error}", EX_TEMPFAIL)
    with sock:
        try:
            pass_session(sock, sys.stdin.buffer, sys.stdout.buffer)
        except BrokenPipeError:
            raise
        except OSError as error:
            return _complain(f"the session broke: {error.strerror or error}", EX_TEMPFAIL)
    return EX_OK


def _queue(action: Sequence[str], options: SendOptions) -> int:
    from appliance.app import cli  # the other way round would be a circle; -bp is a shorthand for another command

    return cli.main(["queue", *action, *(["-c", options.config] if options.config else [])])


def _nothing(_: SendOptions) -> int:
    """Aliases stand in the settings file; there is nothing to rebuild."""
    return EX_OK


_DUTIES: Final[dict[Mode, Callable[[SendOptions], int]]] = {
    Mode.DELIVER: _deliver,
    Mode.VERIFY: _verify,
    Mode.SPEAK_SMTP: _speak_smtp,
    Mode.LIST_QUEUE: partial(_queue, ("list",)),
    Mode.RETRY_QUEUE: partial(_queue, ("retry", "--all")),
    Mode.REBUILD_ALIASES: _nothing,
}
