"""The page: a list of what was caught, and one message beside it, in every way it can be looked at.

Owns which address shows what. Everything can be read and done without scripts;
with them the page follows what happens and needs no new page for a step.

Does not: show a message's HTML in the page itself; that is in a frame of its own,
without rights.
Sources: WHATWG HTML (iframe sandbox).
"""

from collections.abc import Callable
from dataclasses import replace

from appliance.net.http_messages import Request, Response
from appliance.policy.html_check import HtmlCheck
from appliance.services.catcher.comparing import compare_messages
from appliance.services.catcher.frame import Frame, go
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.tabs import Tabs

__all__ = ["CatcherPages"]


class CatcherPages:
    """The views that change nothing but what is read."""

    def __init__(self, frame: Frame, html_check: Callable[[], HtmlCheck]) -> None:
        self._frame = frame
        self._desk = frame.desk
        self._root = frame.places.root
        self._tabs = Tabs(frame.desk, html_check, frame.places)

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/", self._show_list)
        routes.add("GET", "/search", self._show_list)
        routes.add("GET", "/view/latest", self._show_latest)
        routes.add("GET", "/view/{id}", self._show_message)
        routes.add("GET", "/compare", self._compare)
        for path in self._frame.static:
            routes.add("GET", path, self._show_static)

    async def _show_static(self, request: Request, _values: dict[str, str]) -> Response:
        return self._frame.static[request.path].respond(request)

    async def _show_list(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._frame.show(request, "welcome.html")

    async def _show_latest(self, request: Request, _values: dict[str, str]) -> Response:
        summary = await self._desk.find("latest", request.query)
        if summary is None:
            return await self._frame.show(request, "welcome.html")
        return go(self._root, f"view/{summary.id}", status=302)

    async def _show_message(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._desk.find(values["id"], request.query)
        if summary is None:
            return await self._frame.show(request, "gone.html", status=404)
        if not summary.read:
            await self._desk.catcher.set_read([summary.id], read=True)
            summary = replace(summary, read=True)
        return await self._frame.show(request, "reader.html", await self._tabs.values(request, summary, self._frame.words(request)))

    async def _compare(self, request: Request, _values: dict[str, str]) -> Response:
        """Show what two messages have differently."""
        first, second = [await self._desk.find(request.query.get(name, ""), {}) for name in ("a", "b")]
        if first is None or second is None:
            return await self._frame.show(request, "gone.html", status=404)
        left, right = await self._desk.reading(first), await self._desk.reading(second)
        sections = await self._desk.catcher.offload.run(compare_messages, left, right)
        return await self._frame.show(request, "compare.html", {"first": first, "second": second, "sections": sections})
