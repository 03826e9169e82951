"""Answers of the real Mailpit and MailHog, recorded after thirteen messages, against ours after the same.

What differs by nature is left aside: identifiers, dates, versions, boundaries, and
sizes by the few octets by which the random Message-IDs of two runs differ. The
pictures of two JPEG writers and the order of an unordered table are not compared.
"""

import http.client
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.interop

GOLDEN = Path(__file__).with_name("golden")
NATURAL = (
    (r"\d{12,}\.\d+\.\d+(@x\.test)?", "MESSAGE-ID"),
    (r"={15}\d+==", "BOUNDARY"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat), \d+ \w+ \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE"),
    (r"by [\w.-]+ \((Mailpit|MailHog)\)", r"by HOST (\1)"),
    (r'nonce="[\w-]{22}"', 'nonce="NONCE"'),
    (r"[\w-]{22,50}=@[\w.-]+", "HOG-ID"),
    (r"\b[0-9A-Za-z]{22}\b", "ID"),
    (r"=(\r\n|\\r\\n)", ""),
)
SIZE = re.compile(r'"Size":(\d{3,4})\b')
OURS = ("Version", "Database", "DatabaseSize", "Uptime", "Memory", "SMTPAcceptedSize")
LOOSE = ("/thumb", "/html-check", "/metrics", "/view/latest")
"""Compared by status and headers alone, and in tests of their own."""


def natural(text: str) -> str:
    for pattern, word in NATURAL:
        text = re.sub(pattern, word, text)
    text = re.sub(r'"(' + "|".join(OURS) + r')":("[^"]*"|[\d.]+)', r'"\1":X', text)
    return SIZE.sub('"Size":N', text)


ID_OCTETS = 32
"""By how much two runs' sizes may differ: four ids in a message, each of a process number and a random one, of any number of digits."""


def sizes(text: str) -> list[int]:
    return [int(size) for size in SIZE.findall(text)]


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    connection.request(method, path, text, {"User-Agent": "replay"})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def known_ids(name: str, port: int, pairs: list[dict[str, Any]]) -> dict[str, str]:
    """Return recorded identifiers with ours in their place, newest messages first."""
    path = "/api/v1/messages?limit=0" if name == "mailpit" else "/api/v2/messages"
    found = json.loads(ask(port, "GET", path)[2])
    ours = [one["ID"] for one in found["messages" if name == "mailpit" else "items"]]
    theirs = list(dict.fromkeys(re.findall(r'"ID":"([^"]+)"', pairs[0]["body"])))
    return dict(zip(theirs, ours, strict=False))


def differences(pair: dict[str, Any], path: str, status: int, headers: dict[str, str], answer: bytes) -> list[str]:
    """Return what is not as it was recorded."""
    wrong: list[str] = []
    text, expected = answer.decode("utf-8", "replace"), pair["body"]
    what = f"{pair['method']} {path}"
    if status != pair["status"]:
        wrong.append(f"{what}: {status} instead of {pair['status']}")
    for header, value in pair["headers"].items():
        if natural(headers.get(header.lower(), "")) != natural(value):
            wrong.append(f"{what}: {header} {headers.get(header.lower())!r} instead of {value!r}")
    if any(part in path for part in LOOSE):
        return wrong
    whole = pair["len"] <= len(expected.encode()) and len(expected) < 6_000
    mine, theirs = natural(text), natural(expected)
    if not whole:  # the recording has the beginning of long answers
        shared = min(len(mine), len(theirs)) - 200
        mine, theirs = mine[:shared], theirs[:shared]
    if mine != theirs:
        at = next((index for index, both in enumerate(zip(mine, theirs, strict=False)) if both[0] != both[1]), 0)
        wrong.append(f"{what}: {mine[max(at - 40, 0) : at + 120]!r} instead of {theirs[max(at - 40, 0) : at + 120]!r}")
    if whole and any(abs(one - other) > ID_OCTETS for one, other in zip(sizes(text), sizes(expected), strict=False)):
        wrong.append(f"{what}: sizes {sizes(text)} instead of {sizes(expected)}")
    return wrong


@pytest.mark.parametrize("name", ["mailpit", "mailhog"])
def test_recorded_answers_are_given(name: str, dev: Any) -> None:
    """Status, headers and body of each recorded pair, in order."""
    port = dev.ports["http"]
    subprocess.run([sys.executable, str(GOLDEN / "seed_messages.py"), str(dev.ports["smtp"])], check=True, timeout=60)
    pairs = json.loads((GOLDEN / f"{name}.json").read_text())
    ids = known_ids(name, port, pairs)
    assert ids
    wrong: list[str] = []
    for pair in pairs:
        # Some requests that changed the state were not kept: what depends on them is not compared.
        if pair["path"] == "/api/v1/messages?limit=1" or (name == "mailhog" and pair["path"] == "/api/v1/messages"):
            continue
        asked = json.dumps([pair["path"], pair["request"]])
        for theirs, mine in ids.items():
            asked = asked.replace(theirs, mine)
        path, body = json.loads(asked)
        wrong += differences(pair, path, *ask(port, pair["method"], path, body))
    assert [] == wrong


def test_both_programs_on_one_port(dev: Any) -> None:
    """Who has spoken MailHog's way gets its list, anybody else Mailpit's."""
    port = dev.ports["http"]
    assert {"total", "messages"} <= json.loads(ask(port, "GET", "/api/v1/messages")[2]).keys()
    ask(port, "GET", "/api/v2/messages")
    assert [] == json.loads(ask(port, "GET", "/api/v1/messages")[2])
    ask(port, "GET", "/api/v1/info")
    assert "total" in json.loads(ask(port, "GET", "/api/v1/messages")[2])
