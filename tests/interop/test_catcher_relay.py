"""The catcher lets mail go: by release, by rule, through its queue to another catcher; and tells a web server of it."""

import http.server
import json
import smtplib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import PORTS, Carteiro, free_ports
from tests.interop.test_golden import ask
from tests.interop.waiting import wait_until

pytestmark = pytest.mark.interop

MESSAGE = b"From: app@shop.test\r\nTo: a@real.test, b@fake.test\r\nBcc: x@y.test\r\nSubject: order\r\n\r\nbody\r\n"


class Told(http.server.BaseHTTPRequestHandler):
    """Refuses the first request, keeps the rest."""

    bodies: list[Any] = []  # noqa: RUF012 - the server makes a handler for each request

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(503 if len(self.bodies) == 1 else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Return what starts a catcher with options."""
    with ExitStack() as stack:

        def make(name: str, *more: str) -> Carteiro:
            ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
            options = [word for protocol, port in ports.items() for word in (f"--{protocol}-port", str(port))]
            directory = tmp_path / name
            directory.mkdir()
            server = Carteiro(directory, ["dev", "--data", str(directory / "data"), "--log-level", "info", *options, *more], ports)
            server.start()
            stack.callback(server.stop)
            return server

        yield make


def caught(server: Carteiro) -> list[Any]:
    found: list[Any] = json.loads(ask(server.ports["http"], "GET", "/api/carteiro/v1/messages")[2])["messages"]
    return found


def test_release_and_forward(start: Any) -> None:
    """What the rule names leaves at once, the rest when it is released, and never to whom the lists deny."""
    target = start("target")
    catcher = start(
        "catcher", "--relay", f"127.0.0.1:{target.ports['smtp']}", "--forward", "real.test", "--relay-block", "blocked@fake.test"
    )
    with smtplib.SMTP("127.0.0.1", catcher.ports["smtp"], timeout=20) as client:
        client.sendmail("bounce@shop.test", ["a@real.test", "b@fake.test"], MESSAGE)
    wait_until(lambda: len(caught(target)) == 1, lambda: f"the forwarded message\n{catcher.log[-2000:]}")
    (there,) = caught(target)
    assert (["a@real.test"], "bounce@shop.test") == (there["envelope"]["recipients"], there["envelope"]["reverse_path"])
    raw = ask(target.ports["http"], "GET", f"/api/carteiro/v1/messages/{there['id']}/raw")[2]
    assert raw.endswith(MESSAGE.replace(b"Bcc: x@y.test\r\n", b""))
    (here,) = caught(catcher)
    port, path = catcher.ports["http"], f"/api/v1/message/{here['id']}/release"
    assert (400, b"Failed: 1 Address found on blocklist: blocked@fake.test") == ask(port, "POST", path, {"To": ["blocked@fake.test"]})[::2]
    assert (200, b"ok") == ask(port, "POST", path, {"To": ["rcpt-550@fake.test", "c@fake.test"]})[::2]
    wait_until(lambda: len(caught(target)) == 2, lambda: f"the released message\n{catcher.log[-2000:]}")
    wait_until(lambda: len(caught(catcher)) == 2, lambda: f"the report of the refused recipient\n{catcher.log[-2000:]}")
    report = next(one for one in caught(catcher) if one["id"] != here["id"])
    assert (["bounce@shop.test"], "") == (report["envelope"]["recipients"], report["envelope"]["reverse_path"])
    assert json.loads(ask(port, "GET", "/api/v1/webui")[2])["MessageRelay"]["Enabled"]


def test_webhook(start: Any) -> None:
    """Told again after a failure; the summary is Mailpit's."""
    Told.bodies.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        catcher = start("catcher", "--webhook", f"http://127.0.0.1:{server.server_port}/hook")
        with smtplib.SMTP("127.0.0.1", catcher.ports["smtp"], timeout=20) as client:
            client.sendmail("app@shop.test", ["a@real.test"], MESSAGE)
        wait_until(lambda: len(Told.bodies) == 2, lambda: f"a second try\n{catcher.log[-2000:]}")
        assert ["order", "order"] == [body["Subject"] for body in Told.bodies]
        server.shutdown()


def test_under_a_path_with_a_token(start: Any) -> None:
    """Nobody is let in without it, and nothing lies elsewhere."""
    catcher = start("catcher", "--webroot", "/m", "--http-token", "t")
    assert [401, 404] == [ask(catcher.ports["http"], "GET", path)[0] for path in ("/m/api/v1/info", "/api/v1/info")]
