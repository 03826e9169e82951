"""``carteiro selftest``: a whole mail world on this machine for a few seconds, and mail through all of it.

Owns two servers in this process, on free loopback ports, with their data in a
temporary directory: an office, and a partner that is the office's smart host. A
message goes in by submission and comes out by POP3 at the office, by IMAP at the
partner. The executable proves itself with it after every build: what PyInstaller
left out is missed here.

Fails: exit 1 after the first step that went wrong, with what was seen.
Does not: touch the network, the settings file or port numbers of a running server.
"""

import argparse
import itertools
import secrets
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from appliance.app.listening import Listener, bind_all, plan
from appliance.config.schema import (
    Config,
    ImapConfig,
    LimitsConfig,
    Pop3Config,
    QueueConfig,
    SmarthostConfig,
    SmtpConfig,
    SubmissionConfig,
    UserConfig,
    WebConfig,
)

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Start everything on free ports in a temporary directory and send mail through it; takes seconds and touches nothing else."

EX_FAILED: Final = 1
LIMIT_S: Final = 60.0
OFFICE: Final = "office.selftest"
PARTNER: Final = "partner.selftest"
ANY_PORT: Final = ("127.0.0.1:0",)
# Lines with dots, 8-bit text and more than one chunk: what transports get wrong.
BODY: Final = b".\r\n..two dots\r\nAcentua\xc3\xa7\xc3\xa3o\r\n" + b"0123456789abcdef\r\n" * 8_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="show the servers' log too")


def run(args: argparse.Namespace) -> int:
    """Run every step; 0 when all went well."""
    started = time.monotonic()
    from appliance.observe.logformat import configure

    configure("info" if args.verbose else "critical", "logfmt")
    directory = Path(tempfile.mkdtemp(prefix="carteiro-selftest-"))
    try:
        good = _run_steps(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{'everything works' if good else 'something is wrong'} ({time.monotonic() - started:.1f} s)", flush=True)
    return 0 if good else EX_FAILED


class _StepError(Exception):
    """A step failed and has been told."""


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Print one line for what is done inside; any failure ends the self-test."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        print(f"FAILED  {name}: {_words(_leaves(error))}", flush=True)
        raise _StepError from error
    print(f"ok      {name} ({time.monotonic() - started:.2f} s)", flush=True)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _words(errors: Sequence[BaseException]) -> str:
    return "; ".join(f"{type(each).__name__}: {each}" for each in errors)


def _run_steps(directory: Path) -> bool:
    try:
        with _step("libraries load"):
            _load_libraries()
        import trio

        trio.run(_with_time_limit, directory, restrict_keyboard_interrupt_to_checkpoints=True)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
        untold = [each for each in _leaves(error) if not isinstance(each, _StepError)]
        if untold:
            print(f"FAILED  {_words(untold)}", flush=True)
        return False
    return True


def _load_libraries() -> None:
    """Import what the server loads only when it is needed, and what asks package metadata about itself."""
    import apsw
    import dns._features
    import jinja2
    from cryptography import x509

    missing = [name for name in ("trio", "idna", "dnssec") if not dns._features.have(name)]  # noqa: SLF001 - what it thinks it has, it tells nowhere else
    if missing:
        raise RuntimeError(f"dnspython lacks {', '.join(missing)}: package metadata is not in the executable")
    assert apsw.sqlite_lib_version()
    assert jinja2.Template("{{ 1 + 1 }}").render() == "2"
    assert x509.Name([]) is not None


async def _with_time_limit(directory: Path) -> None:
    import trio

    with trio.move_on_after(LIMIT_S) as scope:
        await _steps(directory)
    if scope.cancelled_caught:
        print(f"FAILED  not finished after {LIMIT_S:.0f} s", flush=True)
        raise _StepError


async def _steps(directory: Path) -> None:
    from appliance.app import selftest_clients as clients
    from appliance.app.selftest_dns import check_name_server

    with _step("names resolve"):
        await check_name_server()
    with _step("passwords are hashed"):
        users = _users()
    logins = {name: (name, password) for name, (_, password) in users.items()}
    async with _serving(_partner(directory, users)) as partner, _serving(_office(directory, users, partner.ports["smtp"])) as office:
        print(f"ok      two servers serve ({office.seconds + partner.seconds:.2f} s)", flush=True)
        mark = secrets.token_hex(8)
        recipients = (f"ana@{OFFICE}", f"bob@{PARTNER}")
        with _step("submission takes a message, with STARTTLS and a login"):
            message = _message(mark, recipients)
            await clients.submit(office.ports["submission"], office.trusted(), logins["ana"], f"ana@{OFFICE}", recipients, message)
        with _step("POP3 has it, delivered here"):
            _compare(await clients.fetch_by_pop3(office.ports["pop3"], office.trusted(), logins["ana"]), mark)
        with _step("IMAP has it, relayed through the queue"):
            _compare(await clients.fetch_by_imap(partner.ports["imap"], partner.trusted(), logins["bob"]), mark)
        with _step("the status page answers"):
            assert b"ok" in await clients.get_page(office.ports["http"], "/healthz")
            assert b"carteiro_" in await clients.get_page(office.ports["http"], "/metrics")
            assert OFFICE.encode() in await clients.get_page(office.ports["http"], "/")
        stopping = time.monotonic()
    print(f"ok      both stop cleanly ({time.monotonic() - stopping:.2f} s)", flush=True)


def _message(mark: str, recipients: Sequence[str]) -> bytes:
    head = f"From: ana@{OFFICE}\r\nTo: {', '.join(recipients)}\r\nSubject: self-test {mark}\r\n\r\n"
    return head.encode() + b"\r\n".join(b"." + line if line.startswith(b".") else line for line in BODY.split(b"\r\n"))


def _compare(fetched: bytes, mark: str) -> None:
    if f"Subject: self-test {mark}".encode() not in fetched or BODY.rstrip() not in fetched:
        raise ValueError(f"the message came out changed ({len(fetched)} octets)")


# The two servers


def _users() -> dict[str, tuple[UserConfig, str]]:
    """Return ana and bob with hashed passwords, by name."""
    from appliance.storage.accounts import hash_password

    found = {}
    for name in ("ana", "bob"):
        password = secrets.token_urlsafe(12)
        stored = hash_password(password, 8_192, secrets.token_bytes(16), secrets.token_bytes(16))
        found[name] = (UserConfig(name=name, password=stored), password)
    return found


def _settings(directory: Path, domain: str, user: UserConfig) -> Config:
    return Config(
        domain=domain,
        data=str(directory / domain),
        users=(user,),
        smtp=SmtpConfig(listen=ANY_PORT),
        submission=SubmissionConfig(listen=ANY_PORT, listen_tls=()),
        imap=ImapConfig(listen=ANY_PORT, listen_tls=()),
        pop3=Pop3Config(listen=ANY_PORT, listen_tls=()),
        web=WebConfig(listen=ANY_PORT),
        queue=QueueConfig(min_free_bytes=0),
        limits=LimitsConfig(shutdown_grace_s=2),
    )


def _partner(directory: Path, users: Mapping[str, tuple[UserConfig, str]]) -> Config:
    return _settings(directory, PARTNER, replace(users["bob"][0], format="mbox"))


def _office(directory: Path, users: Mapping[str, tuple[UserConfig, str]], smart_host_port: int) -> Config:
    config = _settings(directory, OFFICE, users["ana"][0])
    return replace(config, smarthost=SmarthostConfig(host="127.0.0.1", port=smart_host_port, tls="encrypt"))


@dataclass(slots=True)
class _Server:
    """A server that serves; ``seconds``: what its start took."""

    data: Path
    ports: Mapping[str, int]
    seconds: float

    def trusted(self) -> ssl.SSLContext:
        """Return a client's context that believes this server's own authority and nobody else."""
        from appliance.net.tls import client_context

        return client_context(verify=True, authorities_file=str(self.data / "keys" / "ca.pem"))


@asynccontextmanager
async def _serving(config: Config) -> AsyncIterator[_Server]:
    """Run a server around the block, and wait for its clean end."""
    import trio

    from appliance.app.serving import serve_until_told

    started = time.monotonic()
    sockets = bind_all(plan(config), {})
    stops: list[Callable[[], None]] = []
    ready = trio.Event()

    def is_ready(_parts: object, runtime: object) -> None:
        stops.append(runtime.stop)  # type: ignore[attr-defined]
        ready.set()

    with ExitStack() as stack:
        for sock in itertools.chain.from_iterable(sockets.values()):
            stack.enter_context(sock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_until_told, config, sockets, ready=is_ready))
            await ready.wait()
            try:
                yield _Server(Path(config.data), _ports(sockets), time.monotonic() - started)
            finally:
                stops[0]()


def _ports(sockets: Mapping[Listener, Sequence[socket.socket]]) -> dict[str, int]:
    return {listener.name: bound[0].getsockname()[1] for listener, bound in sockets.items()}
