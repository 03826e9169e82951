"""ESEARCH: search several mailboxes at once; what is selected stays selected.

Owns which mailboxes a source means and the answer for each. Mailboxes are
searched one after another; one that is gone, or may not be read, is passed over.

Sources:  RFC 7377 section 2, RFC 5465 section 6 (inboxes, personal, subscribed, subtree, mailboxes).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from appliance.model.errors import NotFoundError
from appliance.model.ids import MailboxName
from appliance.model.mailbox import MailboxInfo
from appliance.model.ports import MailStore
from appliance.protocols.imap import commands_search as commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_search import Returns, SearchReturn
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.mailbox_filter import MailboxFilter, MailboxScope
from appliance.protocols.imap.responses import mailbox_name
from appliance.protocols.imap.search_responses import esearch
from appliance.protocols.imap.state import State
from appliance.services.imap.errors import Reply, bad, no, ok
from appliance.services.imap.filters import expand_filters
from appliance.services.imap.matching import Matcher
from appliance.services.imap.search import Found, codec_of, find, search
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.view import MailboxView

__all__ = ["HANDLERS", "multi_search"]

MAX_SEARCHED: Final = 1_000


async def multi_search(session: Session, command: commands.MultiSearch) -> Reply | None:
    is_selected_meant = not command.sources or any(source.scope is MailboxScope.SELECTED for source in command.sources)
    if is_selected_meant and session.opened is None:
        return bad("No mailbox is selected")
    returns = command.returns or Returns(SearchReturn.ALL)
    if SearchReturn.SAVE in returns or SearchReturn.UPDATE in returns:
        # Of the selected mailbox alone: the grammar sees to it.
        return await _selected_alone(session, command, returns)
    await session.sync(expunge=True)
    if session.core.state is State.LOGOUT:
        return None
    done: set[MailboxName] = set()
    if is_selected_meant:
        done.add(session.selected.mailbox.name)
        _tell(session, session.selected.mailbox.name, await find(session, session.selected, command.key, command.charset), returns)
    names = await session.run_blocking(_resolve, session.store, command.sources)
    if len(names) > MAX_SEARCHED:
        return no("Too many mailboxes to search at once", b"LIMIT")
    for name in names:
        if name not in done:
            done.add(name)
            await _search_one(session, name, command, returns)
    return ok("Search completed")


async def _selected_alone(session: Session, command: commands.MultiSearch, returns: Returns) -> Reply | None:
    """Search as UID SEARCH does, for what it leaves behind; the answer has the correlators of this command."""
    single = commands.Search(command.key, True, Returns(returns.options, returns.partial), command.charset)
    return await search(session, single, told=lambda found: _tell(session, session.selected.mailbox.name, found, returns))


async def _search_one(session: Session, name: MailboxName, command: commands.MultiSearch, returns: Returns) -> None:
    try:
        mailbox = await session.run_blocking(session.store.open_mailbox, name)
        view = MailboxView(mailbox.snapshot(), ())
        key = await expand_filters(session, command.key, command.charset)
        matcher = Matcher(session, mailbox, view, codec=codec_of(command.charset), now_s=session.shared.clock.now_s())
        found = Found(view, await matcher.match(key, range(len(view))), matcher)
    except NotFoundError:
        return
    _tell(session, name, found, returns)


def _tell(session: Session, name: MailboxName, found: Found, returns: Returns) -> None:
    """Answer for one mailbox, if anything was found there (RFC 7377 section 2.1)."""
    if not found.positions:
        return
    wire = mailbox_name(name, utf8=Extension.UTF8_ACCEPT in session.enabled)
    numbers = found.numbers(found.positions, uid=True)
    scores = found.scores(uid=True) if SearchReturn.RELEVANCY in returns else None
    correlator = (wire, found.view.snapshot.uid_validity)
    session.send(esearch(session.core.tag, numbers, returns, uid=True, scores=scores, mailbox=correlator))


def _resolve(store: MailStore, sources: Sequence[MailboxFilter]) -> list[MailboxName]:
    """Return the selectable mailboxes that the sources mean, each once. Blocks: disk."""
    infos = [info for info in store.list_mailboxes() if info.selectable]
    return list(dict.fromkeys(name for source in sources for name in _meant(infos, source)))


def _meant(infos: Sequence[MailboxInfo], source: MailboxFilter) -> Iterator[MailboxName]:
    for info in infos:
        match source.scope:
            case MailboxScope.PERSONAL:
                yield info.name
            case MailboxScope.SUBSCRIBED if info.subscribed:
                yield info.name
            # Mail is delivered to INBOX, and by sub-address to any mailbox that is not for a use of its own.
            case MailboxScope.INBOXES if not info.special_uses:
                yield info.name
            case MailboxScope.MAILBOXES if info.name in source.names:
                yield info.name
            case MailboxScope.SUBTREE | MailboxScope.SUBTREE_ONE if _is_below(info.name, source):
                yield info.name


def _is_below(name: MailboxName, source: MailboxFilter) -> bool:
    for root in source.names:
        if name == root:
            return True
        rest = name.removeprefix(root + "/")
        if rest != name and (source.scope is MailboxScope.SUBTREE or "/" not in rest):
            return True
    return False


HANDLERS: Final[Mapping[type[Command], Handler]] = {commands.MultiSearch: multi_search}
