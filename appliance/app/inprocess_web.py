"""The interfaces over HTTP of a catcher inside of another program; loaded when they are first asked for."""

from collections.abc import Awaitable, Callable

from appliance.app.catching import html_check
from appliance.net.connection import Connection
from appliance.net.http_messages import Request, Response
from appliance.policy.caught_faults import Faults
from appliance.services.catcher.compare_api import CompareApi
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.inbox_api import InboxApi
from appliance.services.catcher.inboxes import Inboxes
from appliance.services.catcher.mailhog import MailHogApi
from appliance.services.catcher.mailpit import MailpitApi
from appliance.services.catcher.mailpit_message import MailpitMessages
from appliance.services.catcher.own_api import OwnApi
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending
from appliance.services.catcher.service import CatcherService

__all__ = ["web_handler"]


async def _nothing(_request: Request) -> Response:
    return Response(404, b"404 page not found\n", "text/plain")


def web_handler(catcher: Catcher, faults: Faults, inboxes: Inboxes, desk: Desk) -> Callable[[Connection], Awaitable[None]]:
    """Return what serves one connection."""
    routes, sending = Routes(), Sending(desk)
    mailpit, mailhog = MailpitApi(desk, faults, catcher.clock.now_s()), MailHogApi(desk, faults, sending)
    for api in (
        mailpit,
        MailpitMessages(desk, mailpit, html_check),
        OwnApi(desk, faults),
        CompareApi(desk),
        InboxApi(desk, inboxes),
        sending,
        mailhog,
    ):
        api.add_to(routes)
    return CatcherService(routes, mailpit, mailhog, fallback=_nothing, mail_log=catcher.mail_log).handle
