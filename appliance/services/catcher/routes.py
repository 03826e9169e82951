"""Which handler answers which path of the catcher's interfaces: patterns with names in braces.

Owns what is said of paths that nothing answers, in the words of the program whose
interface it is.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from appliance.net.http_messages import Request, Response
from appliance.services.catcher.gojson import plain

__all__ = ["PathHandler", "Routes"]

PathHandler = Callable[[Request, dict[str, str]], Awaitable[Response]]


class Routes:
    """A table of patterns, looked through in order."""

    def __init__(self) -> None:
        self._table: list[tuple[re.Pattern[str], dict[str, PathHandler]]] = []
        self._known: dict[str, dict[str, PathHandler]] = {}

    def add(self, methods: str, pattern: str, handler: PathHandler) -> None:
        """Answer a pattern like ``/message/{id}``; ``methods`` separated by blanks. A name matches anything but a slash."""
        by_method = self._known.get(pattern)
        if by_method is None:
            expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
            by_method = self._known[pattern] = {}
            self._table.append((re.compile(expression), by_method))
        for method in methods.split():
            assert method not in by_method, (method, pattern)
            by_method[method] = handler

    def find(self, path: str) -> Sequence[tuple[dict[str, PathHandler], dict[str, str]]]:
        """Return the first pattern that a path matches, with the values of its names."""
        for expression, by_method in self._table:
            found = expression.fullmatch(path)
            if found:
                return [(by_method, found.groupdict())]
        return []

    async def answer(self, request: Request) -> Response | None:
        """Return the answer; None when no pattern matches the path."""
        for by_method, values in self.find(request.path):
            if request.method == "OPTIONS":
                return Response(200, b"", "" if request.path.startswith("/api/v2/") else "text/plain")
            handler = by_method.get("GET" if request.method == "HEAD" else request.method)
            if handler is None:
                allowed = {*by_method, "HEAD"} if "GET" in by_method else set(by_method)
                return replace(
                    plain("Method Not Allowed\n", 405, charset=True), headers={"allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
                )
            return await handler(request, values)
        return None
