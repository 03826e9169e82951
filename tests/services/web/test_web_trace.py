"""The page that says where a message is."""

from typing import Any

import pytest

from appliance.net.http_messages import Request
from appliance.observe.counters import Registry
from appliance.observe.maillog import MailLog
from appliance.observe.trace import TraceEvent
from appliance.observe.tracetext import Story
from appliance.services.web.service import WebService
from appliance.services.web.trace import may_trace

STORY = Story(
    "Q1",
    (
        TraceEvent(1_700_000_000, "Q1", "A", {"from": "bob@x", "nrcpt": "1", "size": "9", "client": "c", "subject": "<script>"}),
        TraceEvent(1_700_000_001, "Q1", "S", {"to": "ana@x", "relay": "mx.x[192.0.2.1]:25", "diagnostic": "250 OK"}),
    ),
)


@pytest.fixture
def service(make_site: Any) -> WebService:
    site = make_site()
    asked: list[str] = []

    async def find(query: str, limit: int) -> list[Story]:
        asked.append(query)
        return [STORY] if query == "ana@x" else []

    made = WebService(source=site.source, registry=Registry(), mail_log=MailLog(), find_stories=find)
    made.asked = asked  # type: ignore[attr-defined]
    return made


async def ask(service: WebService, query: dict[str, str], client: str = "127.0.0.1", host: str = "localhost:8080") -> Any:
    return await service.router(Request("GET", "/trace", query, [("host", host)], client=client))


async def test_the_answer_stands_first(service: WebService) -> None:
    """Escaped, with its steps."""
    page = (await ask(service, {"q": "ana@x", "lang": "en"})).body.decode()
    assert "Delivered to mx.x for ana@x at" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


async def test_an_empty_question_and_one_without_answer(service: WebService) -> None:
    """The first looks for nothing."""
    assert 200 == (await ask(service, {})).status
    assert [] == service.asked  # type: ignore[attr-defined]
    assert "Nada se sabe disso." in (await ask(service, {"q": "x", "lang": "pt"})).body.decode()


@pytest.mark.parametrize(
    ("client", "host", "expected"),
    [
        ("127.0.0.1", "localhost", True),
        ("::1", "[::1]:8080", True),
        ("unix", "", True),
        ("192.0.2.1", "localhost", False),
        ("127.0.0.1", "rebound.attacker.com:8080", False),
        ("nonsense", "localhost", False),
    ],
)
def test_who_may_look(client: str, host: str, expected: bool) -> None:
    """This machine, and no page of another site."""
    assert expected is may_trace(Request("GET", "/trace", {}, [("host", host)], client=client))


async def test_others_are_refused(service: WebService) -> None:
    """403, and nothing is looked up."""
    assert 403 == (await ask(service, {"q": "ana@x"}, client="192.0.2.1")).status
