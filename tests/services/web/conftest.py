"""A status by hand, and a service to ask."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from appliance.net.http_messages import Request, Response
from appliance.observe.counters import Registry
from appliance.observe.maillog import MailLog
from appliance.services.web.service import WebService
from appliance.services.web.status import Status

NOW_S = 1_700_000_000.0


@dataclass
class FakeSource:
    """Says what it was told to."""

    state: Status

    async def status(self) -> Status:
        return self.state


@dataclass
class Site:
    """A service with its source."""

    service: WebService
    source: FakeSource

    async def get(self, path: str, **headers: str) -> Response:
        """Ask as a browser does; ``?lang=pt`` may be part of the path."""
        path, _, query = path.partition("?")
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return await self.service.router(Request("GET", path, dict([query.split("=")]) if query else {}, pairs))

    async def page(self, path: str, **headers: str) -> str:
        response = await self.get(path, **headers)
        assert isinstance(response.body, bytes)
        return response.body.decode()


@pytest.fixture
def make_site() -> Callable[..., Site]:
    """Return a function that builds a site; fields of ``Status`` may be given."""

    def make(**fields: object) -> Site:
        known: dict[str, object] = {"now_s": NOW_S, "started_at_s": NOW_S - 4_000, "version": "0.1.0", "hostname": "mail.example"}
        source = FakeSource(Status(**(known | fields)))  # type: ignore[arg-type]
        service = WebService(
            source=source,
            registry=Registry(),
            mail_log=MailLog(logging.getLogger("unheard")),
        )
        return Site(service, source)

    return make
