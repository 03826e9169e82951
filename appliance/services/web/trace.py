"""The page that says where a message is: a field to ask in, and each message's answer and steps.

Owns who may see it: browsers on this machine alone, under a name that the
public DNS cannot claim; whoever may open it sees senders, recipients and subjects.

Sources: RFC 9110 section 7.2 (Host); DNS rebinding is what the second condition is against.
"""

from collections.abc import Awaitable, Callable, Sequence

from appliance.model.hosts import is_this_machine
from appliance.net.http_hosts import is_private_name
from appliance.net.http_messages import Request
from appliance.observe.tracetext import Story, answer, headline, timeline
from appliance.services.web.texts import Words

__all__ = ["FindStories", "may_trace", "trace_values"]

SHOWN = 20
MAX_QUERY = 300

FindStories = Callable[[str, int], Awaitable[Sequence[Story]]]


def may_trace(request: Request) -> bool:
    """Tell whether a browser may see other people's mail travel. ``client`` is an IP address or ``unix``."""
    host = request.header("host").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return is_this_machine(request.client) and is_private_name(name)


async def trace_values(request: Request, find: FindStories, language: str) -> dict[str, object]:
    """Return what the page shows. Blocks: disk. Raises UnavailableError."""
    query = request.query.get("q", "").strip()[:MAX_QUERY]
    words = Words(language)
    found = await find(query, SHOWN) if query else []
    told = [
        {
            "answer": answer(story, language, words.moment),
            "headline": headline(story, language) if story.queue_id else "",
            "steps": timeline(story, language),
            "kind": story.events[-1].kind,
        }
        for story in found
    ]
    return {"query": query, "stories": told}
