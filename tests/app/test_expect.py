"""``carteiro expect``: what is asked for, what is printed, and the exit code."""

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from appliance.app.expect import add_arguments, extracted, query_of, run

MESSAGE: dict[str, Any] = {
    "id": "a1",
    "codes": ["482913"],
    "links": ["https://x.test/"],
    "text": "Hello 7, bye",
    "html": "",
    "subject": "S",
}


class Catcher(BaseHTTPRequestHandler):
    status = 200
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"messages": [MESSAGE] if self.status == 200 else []}).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Catcher.status, Catcher.asked = 200, []
    server = HTTPServer(("127.0.0.1", 0), Catcher)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_options_become_a_search() -> None:
    """Each narrows it."""
    assert 'from:"a@b" subject:"Hi you" recipient:"c@d" tag:x' == query_of(
        parsed("--from", "a@b", "--subject", "Hi you", "--to", "c@d", "--query", "tag:x")
    )


@pytest.mark.parametrize(
    ("what", "printed"), [("code", "482913"), ("link", "https://x.test/"), ("id", "a1"), ("Hello (\\d)", "7"), ("bye", "bye"), ("z", None)]
)
def test_what_is_extracted(what: str, printed: str | None) -> None:
    """A code, a link, or a pattern's first group."""
    assert printed == extracted(what, MESSAGE)


def test_it_came(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """0, and the code on standard output; 1 when the message has none."""
    assert 0 == run(parsed("--url", url, "--extract", "code"))
    assert "482913\n" == capsys.readouterr().out
    assert 1 == run(parsed("--url", url, "--extract", "not there"))
    assert 1 == run(parsed("--url", url, "--none", "--within", "0s"))


def test_it_did_not_come(url: str) -> None:
    """1; and 0 where that was wanted."""
    Catcher.status = 408
    assert [1, 0] == [run(parsed("--url", url, "--within", "0ms")), run(parsed("--url", url, "--within", "0s", "--none"))]


def test_nobody_answers(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """69 without a catcher, 64 for a pattern that is none."""
    assert [69, 64] == [run(parsed("--url", "http://127.0.0.1:1", "--within", "0s")), run(parsed("--url", url, "--extract", "("))]
    assert "carteiro dev" in capsys.readouterr().err
