"""The web service: status page, health check, metrics, and the page that says where a message is.

Owns which path shows what. It only shows: no request changes anything.
Does not: ask for a login; the default listener is this machine alone.

Fails: store errors become small pages.
Sources: WHATWG HTML (refresh), Prometheus text format 0.0.4.
"""

from collections.abc import Callable

from appliance.model.errors import ApplianceError
from appliance.net.connection import Connection
from appliance.net.http import HttpServer
from appliance.net.http_messages import Request, Response, error_response, html_response, text_response
from appliance.net.http_router import Handler, Router
from appliance.observe.counters import Registry
from appliance.observe.maillog import MailLog
from appliance.services.web.chart import HEIGHT, OUTCOMES, WIDTH, make_chart
from appliance.services.web.gauges import StatusGauges
from appliance.services.web.pages import Pages, static_files
from appliance.services.web.status import Problem, Status, StatusSource, problems
from appliance.services.web.texts import choose_language
from appliance.services.web.trace import FindStories, may_trace, trace_values

__all__ = ["WebService"]


class WebService:
    """Answers browsers and monitors.

    ``find_stories``: what the page /trace asks.
    ``home``: the path of the status page; ``root``: what every path lies under for the browser.
    ``carries``: whether mail is delivered here; a server that only catches has no figures of that.
    ``is_our_host``: which Host names are answered; by default all.
    """

    def __init__(
        self,
        *,
        source: StatusSource,
        registry: Registry,
        mail_log: MailLog,
        language: str = "en",
        is_our_host: Callable[[str], bool] | None = None,
        find_stories: FindStories | None = None,
        home: str = "/",
        root: str = "/",
        carries: bool = True,
    ) -> None:
        self._find_stories = find_stories
        self._source = source
        self._registry = registry
        self._gauges = StatusGauges(registry)
        self._language = language
        self._root = root
        self._carries = carries
        self._pages = Pages()
        self._static = static_files()
        router = Router()
        router.add(home, self._show_status)
        router.add("/healthz", self._show_health)
        router.add("/metrics", self._show_metrics)
        if find_stories is not None:
            router.add("/trace", self._show_trace)
        for path in self._static:
            router.add(path, self._show_static)
        self.router = router
        self._server = HttpServer(router, mail_log=mail_log, is_our_host=is_our_host)

    async def handle(self, connection: Connection) -> None:
        """Serve one connection until it ends. The caller closes it."""
        await self._server.handle(connection)

    def add(self, path: str, handler: Handler, methods: tuple[str, ...] = ("GET",)) -> None:
        """Answer a further path; another part's pages may live on the same listener."""
        self.router.add(path, handler, methods)

    # Monitors

    async def _show_health(self, request: Request) -> Response:
        reasons = [_health_reason(problem) for problem in problems(await self._source.status()) if problem.unhealthy]
        return text_response("\n".join([*reasons, ""]), 503) if reasons else text_response("ok\n")

    async def metrics(self) -> str:
        """Return the server's metrics in Prometheus' text format 0.0.4. Blocks: the status, briefly."""
        self._gauges.take(await self._source.status())
        return self._registry.render()

    async def _show_metrics(self, request: Request) -> Response:
        return Response(200, (await self.metrics()).encode(), "text/plain; version=0.0.4; charset=utf-8")

    # People

    async def _show_static(self, request: Request) -> Response:
        return self._static[request.path].respond(request)

    async def _show_status(self, request: Request) -> Response:
        status = await self._source.status()
        values = {
            "status": status,
            "problems": [(problem, dict(problem.values)) for problem in problems(status)],
            "chart": make_chart(status.buckets),
            "outcomes": OUTCOMES,
            "width": WIDTH,
            "height": HEIGHT,
            "carries": self._carries,
            "traces": self._find_stories is not None and may_trace(request),
        }
        return self._page(request, "status.html", status, values)

    async def _show_trace(self, request: Request) -> Response:
        assert self._find_stories is not None
        if not may_trace(request):
            return error_response(403)
        language = self._language_of(request)
        try:
            values = await trace_values(request, self._find_stories, language)
        except ApplianceError as error:
            return error_response(503, error.client_text)
        return self._page(request, "trace.html", await self._source.status(), values)

    def _language_of(self, request: Request) -> str:
        return choose_language(request.query.get("lang", ""), request.header("accept-language"), self._language)

    def _page(self, request: Request, template: str, status: Status, values: dict[str, object]) -> Response:
        language = self._language_of(request)
        asked = request.query.get("lang", "") == language
        page = self._pages.render(
            template, language, {"status": status, "path": request.path, "root": self._root, "asked": asked, **values}
        )
        return html_response(page, headers={"content-language": language, "vary": "accept-language"})


def _health_reason(problem: Problem) -> str:
    """Return a line for monitors: the same words in every language."""
    return f"{problem.key.replace('_', ' ')}: " + ", ".join([f"{name} {value:.0f}" for name, value in problem.values.items()])
