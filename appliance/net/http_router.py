"""Which handler answers which path: exact paths first, then the longest prefix.

Does not: match patterns; what follows a prefix is the handler's to read.

Sources: RFC 9110 sections 9.3.2 (HEAD is GET without a body) and 15.5.6 (405 says what is allowed).
"""

from collections.abc import Awaitable, Callable, Sequence

from appliance.net.http_messages import Request, Response, error_response

__all__ = ["Handler", "Router"]

Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """A table of handlers; itself a handler."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._prefixes: dict[str, dict[str, Handler]] = {}

    def add(self, path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> None:
        """Answer ``path``, or everything below it when it ends in ``/*``. GET answers HEAD, too."""
        table, key = (self._prefixes, path[:-1]) if path.endswith("/*") else (self._exact, path)
        by_method = table.setdefault(key, {})
        for method in methods:
            assert method not in by_method, (method, path)
            by_method[method] = handler

    async def __call__(self, request: Request) -> Response:
        by_method = self._exact.get(request.path) or self._below(request.path)
        if by_method is None:
            return error_response(404)
        method = "GET" if request.method == "HEAD" and "HEAD" not in by_method else request.method
        handler = by_method.get(method)
        if handler is None:
            allowed = {*by_method, "HEAD"} if "GET" in by_method else set(by_method)
            return error_response(405, headers={"allow": ", ".join(sorted(allowed))})
        return await handler(request)

    def _below(self, path: str) -> dict[str, Handler] | None:
        """Find the longest prefix that ends in a slash."""
        end = path.rfind("/")
        while end >= 0:
            found = self._prefixes.get(path[: end + 1])
            if found is not None:
                return found
            end = path.rfind("/", 0, end)
        return None
