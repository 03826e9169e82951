"""The catcher's web service: two programs' interfaces, our own, and the page, on one port.

Owns who is let in (Host, Origin, password), which of the two programs a client
that asks for ``/api/v1/messages`` means, and what a path under ``--webroot`` is.

Sources: RFC 9110 section 11 (authentication), RFC 7617 (Basic), WHATWG Fetch (CORS), RFC 6455 section 10.2 (Origin).
"""

import base64
import binascii
import hmac
import posixpath
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from appliance.net.connection import Connection
from appliance.net.http import HttpServer
from appliance.net.http_hosts import is_private_name
from appliance.net.http_messages import Request, Response
from appliance.observe.maillog import MailLog
from appliance.services.catcher.gojson import plain
from appliance.services.catcher.inbox_api import opens
from appliance.services.catcher.mailhog import MailHogApi
from appliance.services.catcher.mailpit import MAX_BODY, MailpitApi
from appliance.services.catcher.routes import Routes

__all__ = ["Access", "CatcherService"]

_OPEN: Final = frozenset({"/livez", "/readyz"})
_MOST_CLIENTS: Final = 1_000
_MAILPIT_ONLY: Final = (
    "/api/v1/message/",
    "/api/v1/search",
    "/api/v1/info",
    "/api/v1/tags",
    "/api/v1/webui",
    "/api/v1/send",
    "/api/v1/chaos",
    "/view/",
)
_MAILHOG_ONLY: Final = ("/api/v2/", "/api/v1/messages/", "/api/v1/events")
_METHODS: Final = "GET, POST, DELETE, PUT, OPTIONS"

Dialect = Literal["mailpit", "mailhog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """``logins``: users and passwords, ``tokens``: of programs; without either everybody may ask. ``origins``: of other pages that may ask, ``*`` for all. ``root``: the path everything lies under."""

    logins: Sequence[tuple[str, str]] = ()
    tokens: Sequence[str] = ()
    origins: Sequence[str] = ()
    root: str = "/"
    inbox_of_token: Callable[[str], str | None] = lambda _token: None
    """Which inbox a token is for."""


class CatcherService:
    """Answers browsers, test suites and monitors. ``fallback`` answers what no pattern of ``routes`` matches."""

    def __init__(
        self,
        routes: Routes,
        mailpit: MailpitApi,
        mailhog: MailHogApi,
        *,
        fallback: Callable[[Request], Awaitable[Response]],
        mail_log: MailLog,
        access: Access | None = None,
        max_message_bytes: int = 52_428_800,
    ) -> None:
        self._routes = routes
        self._mailpit = mailpit
        self._mailhog = mailhog
        self._fallback = fallback
        self._access = access or Access()
        self._dialects: OrderedDict[tuple[str, str], Dialect] = OrderedDict()
        routes.add("GET", "/api/v1/messages", self._messages)
        routes.add("DELETE", "/api/v1/messages", self._delete)
        routes.add("GET", "/livez", self._alive)
        routes.add("GET", "/readyz", self._alive)
        # A message in base64, with room for what is around it.
        send_bytes = max(MAX_BODY, max_message_bytes * 4 // 3 + 65_536)
        large = {self._access.root + path for path in ("api/v1/send", "api/carteiro/v1/messages", "import", "compose")}
        self._server = HttpServer(
            self.answer,
            mail_log=mail_log,
            is_our_host=is_private_name,
            body_limit=lambda path: send_bytes if path in large else MAX_BODY,
        )

    async def handle(self, connection: Connection) -> None:
        """Serve one connection until it ends. The caller closes it."""
        await self._server.handle(connection)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.path != (clean := _cleaned(request.path)):
            return _moved(request, clean)
        root = self._access.root
        if root != "/":
            if not request.path.startswith(root):
                is_root = request.path == root.rstrip("/")
                return (
                    Response(302, headers={"location": root}, content_type="") if is_root else plain("File not found\n", 404, charset=True)
                )
            request = replace(request, path="/" + request.path.removeprefix(root))
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        self._learn(request)
        response = await self._routes.answer(request)
        if response is None:
            response = _no_such_call(request) if request.path.startswith("/api/") else await self._fallback(request)
        return self._with_origin(request, response)

    # Who may

    def _refusal(self, request: Request) -> Response | None:
        """Return why a request is not answered, None when it is."""
        if request.path in _OPEN:
            return None
        if not self._may_ask(request):
            return plain("Blocked due to CORS violation\n", 403, charset=True)
        if (self._access.logins or self._access.tokens) and not (_knows(request, self._access) or _is_for_inbox(request, self._access)):
            return Response(401, b"Unauthorized.\n", headers={"www-authenticate": 'Basic realm="Carteiro", charset="UTF-8"'})
        return None

    def _may_ask(self, request: Request) -> bool:
        """Return True unless a page from elsewhere asks: it may read or delete no mail."""
        origin = request.header("origin")
        if origin == "null" and _is_embedding(request):
            return True
        if origin and "*" not in self._access.origins and origin not in self._access.origins:
            try:
                asked = urlsplit(origin).netloc.lower()
            except ValueError:
                return False
            return asked == request.header("host").lower()
        return bool(origin) or request.method in {"GET", "HEAD", "OPTIONS"} or request.header("sec-fetch-site") != "cross-site"

    def _with_origin(self, request: Request, response: Response) -> Response:
        if not request.path.startswith("/api/") or response.upgrade is not None:
            return response
        allowed = {"access-control-allow-methods": _METHODS, "access-control-allow-headers": "*", "vary": "origin"}
        origin = request.header("origin")
        if origin and not (origin == "null" and _is_embedding(request)):
            allowed |= {"access-control-allow-origin": origin, "cross-origin-resource-policy": "cross-origin"}
        return replace(response, headers={**allowed, **response.headers})

    # Which program is meant

    def _learn(self, request: Request) -> None:
        """Remember, by address and program name, which interface a client speaks, from the paths that only one has."""
        path = request.path
        dialect: Dialect | None = "mailhog" if path.startswith(_MAILHOG_ONLY) else "mailpit" if path.startswith(_MAILPIT_ONLY) else None
        if dialect is not None:
            key = (request.client, request.header("user-agent")[:200])
            self._dialects[key] = dialect
            self._dialects.move_to_end(key)
            if len(self._dialects) > _MOST_CLIENTS:
                self._dialects.popitem(last=False)

    def _speaks_mailhog(self, request: Request) -> bool:
        key = (request.client, request.header("user-agent")[:200])
        return request.header("accept") == "text/json" or self._dialects.get(key) == "mailhog"

    async def _messages(self, request: Request, values: dict[str, str]) -> Response:
        if self._speaks_mailhog(request):
            return await self._mailhog.all_messages(request, values)
        return await self._mailpit.messages(request, values)

    async def _delete(self, request: Request, values: dict[str, str]) -> Response:
        if self._speaks_mailhog(request):
            return await self._mailhog.delete_all(request, values)
        return await self._mailpit.delete(request, values)

    async def _alive(self, _request: Request, _values: Mapping[str, str]) -> Response:
        return Response(200, b"", "")


def _cleaned(path: str) -> str:
    """Return a path without empty, ``.`` and ``..`` segments; a slash at its end stays."""
    if "//" not in path and "/." not in path:
        return path
    clean = "/" + posixpath.normpath(path).lstrip("/")
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _moved(request: Request, path: str) -> Response:
    """Send a client to the path it meant, as the programs do whose clients build paths with a slash too many."""
    query = urlencode(list(request.query.items()))
    location = quote(path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
    return Response(301 if request.method in {"GET", "HEAD"} else 308, b"", "", {"location": location})


def _no_such_call(request: Request) -> Response:
    if request.path.startswith("/api/v2/"):
        return plain("404 page not found\n", 404, charset=True)
    if request.method == "OPTIONS" and request.path.startswith("/api/v1/"):
        return plain("")
    return plain("File not found\n", 404, charset=True)


def _is_embedding(request: Request) -> bool:
    """Return whether a page wants to show something without reading it, as the frame of a message does with its pictures."""
    return (
        request.method in {"GET", "HEAD"}
        and request.header("sec-fetch-mode") == "no-cors"
        and request.header("sec-fetch-dest") in {"image", "audio", "video"}
    )


def _is_for_inbox(request: Request, access: Access) -> bool:
    """Return True when a request carries the token of the inbox that it is about."""
    scheme, _, token = request.header("authorization").partition(" ")
    inbox = access.inbox_of_token(token.strip()) if scheme.lower() == "bearer" else None
    return inbox is not None and opens(inbox, request.method, request.path)


def _knows(request: Request, access: Access) -> bool:
    """Return True when a request carries a name and its password, or a token."""
    scheme, _, encoded = request.header("authorization").partition(" ")
    if scheme.lower() == "bearer":
        given = encoded.strip().encode("utf-8", "replace")
        return any(hmac.compare_digest(given, token.encode()) for token in access.tokens)
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return False
    return any(hmac.compare_digest(given, f"{user}:{password}".encode()) for user, password in access.logins)
