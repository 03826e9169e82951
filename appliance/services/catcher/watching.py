"""SMTP sessions while they happen: who is connected and what is said, line by line.

Owns the pace: who watches is told at most so often, however much is said.
"""

from collections.abc import AsyncGenerator
from typing import Final

import trio

from appliance.net.http_messages import Request, Response, event_stream, server_event
from appliance.services.catcher.conversations import Conversations
from appliance.services.catcher.frame import Frame
from appliance.services.catcher.routes import Routes

__all__ = ["Watching"]

_PAUSE_S: Final = 0.25
_KEEP_ALIVE_S: Final = 30.0


class Watching:
    """See the module."""

    def __init__(self, frame: Frame, conversations: Conversations) -> None:
        self._frame = frame
        self._conversations = conversations

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/sessions", self._show)
        routes.add("GET", "/sessions/events", self._events)

    async def _show(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._frame.show(request, "sessions.html", {"sessions": self._conversations.sessions()})

    async def _events(self, _request: Request, _values: dict[str, str]) -> Response:
        return event_stream(self._told())

    async def _told(self) -> AsyncGenerator[bytes, None]:
        """Yield a word whenever something was said; what it was, the view asks for."""
        known = self._conversations.said
        yield b": hello\n\n"
        while True:
            with trio.move_on_after(_KEEP_ALIVE_S):
                while known == self._conversations.said:
                    await self._conversations.heard.park()
            if known == self._conversations.said:
                yield b": keep-alive\n\n"
                continue
            known = self._conversations.said
            yield server_event("", "said")
            await trio.sleep(_PAUSE_S)
