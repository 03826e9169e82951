"""The smallest clients that prove a server: a line client over trio, and what SMTP, POP3, IMAP and HTTP need of it.

They check every reply and fall over the first wrong one; the error is the finding.

Fails: ``UnexpectedReplyError`` with what was asked and what came.
Does not: stand in for a real client. Whole protocols have their cores.
"""

import base64
import ssl
from types import TracebackType
from typing import Final

import trio

__all__ = ["LineClient", "UnexpectedReplyError", "fetch_by_imap", "fetch_by_pop3", "get_page", "submit"]

MAX_REPLY_BYTES: Final = 1_048_576
CHUNK_BYTES: Final = 65_536


class UnexpectedReplyError(Exception):
    """A server said something else than it should."""


class LineClient:
    """A connection read by lines. Use it in an ``async with`` block."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stream: trio.abc.Stream
        self._buffer = bytearray()

    async def __aenter__(self) -> "LineClient":
        self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await trio.aclose_forcefully(self._stream)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted, with the server's certificate checked."""
        self._buffer.clear()
        encrypted = trio.SSLStream(self._stream, context, server_hostname="localhost", https_compatible=True)
        self._stream = encrypted
        await encrypted.do_handshake()

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def line(self) -> bytes:
        """Return the next line without its end."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def rest(self) -> bytes:
        """Return everything up to the end of input."""
        while await self._receive(at_end_too=True):
            pass
        return bytes(self._buffer)

    async def _receive(self, *, at_end_too: bool = False) -> bool:
        data = await self._stream.receive_some(CHUNK_BYTES)
        if not data and not at_end_too:
            raise UnexpectedReplyError(f"port {self._port} closed the connection")
        self._buffer += data
        if len(self._buffer) > MAX_REPLY_BYTES:
            raise UnexpectedReplyError(f"port {self._port} sends without end")
        return bool(data)

    async def ask(self, command: str, expected: str) -> list[str]:
        """Say an SMTP command, or nothing to await the greeting; return the lines of the reply, whose code must be ``expected``."""
        if command:
            await self.send(command.encode() + b"\r\n")
        lines = [(await self.line()).decode()]
        while lines[-1][3:4] == "-":
            lines.append((await self.line()).decode())
        _require(lines[-1].startswith(expected), command, lines[-1])
        return lines

    async def ask_pop3(self, command: str) -> str:
        """Say a POP3 command, or nothing; return the first line, which must be ``+OK``."""
        if command:
            await self.send(command.encode() + b"\r\n")
        line = (await self.line()).decode()
        _require(line.startswith("+OK"), command, line)
        return line

    async def ask_imap(self, command: str, tag: str = "a ") -> list[bytes]:
        """Say an IMAP command; return everything before its tagged OK, literals included."""
        await self.send(f"{tag}{command}\r\n".encode())
        lines: list[bytes] = []
        while not (line := await self.line()).startswith(b"a "):
            lines.append(line)
        _require(line.startswith(b"a OK"), command, line.decode())
        return lines


def _require(good: bool, command: str, reply: str) -> None:
    if not good:
        # A password stands behind the verb.
        verb = command.partition(" ")[0] or "the greeting"
        raise UnexpectedReplyError(f"{verb} was answered by {reply!r}")


async def submit(
    port: int, trusted: ssl.SSLContext, login: tuple[str, str], sender: str, recipients: tuple[str, ...], message: bytes
) -> None:
    """Hand a message over on a submission port, with STARTTLS and a login."""
    async with LineClient(port) as client:
        await client.ask("", "220")
        await client.ask("EHLO selftest.invalid", "250")
        await client.ask("STARTTLS", "220")
        await client.start_tls(trusted)
        await client.ask("EHLO selftest.invalid", "250")
        plain = base64.b64encode("\0".join(("", *login)).encode()).decode()
        await client.ask(f"AUTH PLAIN {plain}", "235")
        await client.ask(f"MAIL FROM:<{sender}>", "250")
        for recipient in recipients:
            await client.ask(f"RCPT TO:<{recipient}>", "250")
        await client.ask("DATA", "354")
        await client.send(message)
        await client.ask(".", "250")
        await client.ask("QUIT", "221")


async def fetch_by_pop3(port: int, trusted: ssl.SSLContext, login: tuple[str, str]) -> bytes:
    """Return the newest message of a maildrop, waiting until there is one."""
    while True:
        async with LineClient(port) as client:
            await client.ask_pop3("")
            await client.ask_pop3("STLS")
            await client.start_tls(trusted)
            await client.ask_pop3(f"USER {login[0]}")
            await client.ask_pop3(f"PASS {login[1]}")
            count = int((await client.ask_pop3("STAT")).split()[1])
            if count:
                await client.ask_pop3(f"RETR {count}")
                lines = []
                while (line := await client.line()) != b".":
                    lines.append(line.removeprefix(b"."))
                await client.ask_pop3("QUIT")
                return b"\r\n".join(lines)
            await client.ask_pop3("QUIT")
        await trio.sleep(0.05)


async def fetch_by_imap(port: int, trusted: ssl.SSLContext, login: tuple[str, str]) -> bytes:
    """Return the newest message of an INBOX, waiting until there is one."""
    async with LineClient(port) as client:
        greeting = await client.line()
        _require(greeting.startswith(b"* OK"), "", greeting.decode())
        await client.ask_imap("STARTTLS")
        await client.start_tls(trusted)
        await client.ask_imap('LOGIN "{}" "{}"'.format(*login))
        if b"* 0 EXISTS" in await client.ask_imap("SELECT INBOX"):
            await client.send(b"a IDLE\r\n")
            while not (await client.line()).endswith(b" EXISTS"):
                pass
            await client.ask_imap("DONE", tag="")
        lines = await client.ask_imap("FETCH * (BODY.PEEK[])")
        await client.ask_imap("LOGOUT")
        return b"\r\n".join(lines)


async def get_page(port: int, path: str) -> bytes:
    """Return the body of a page of the status server."""
    async with LineClient(port) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].decode()
        _require(" 200" in status, f"GET {path}", status)
        return body
