"""What a person does to messages on the page: delete and take back, mark, tag, release, bring in.

Owns the forms, and where each leads afterwards. Each works without scripts.

Fails: never towards the browser; what cannot be done is said on the page.

Sources: RFC 4155 (mbox).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from appliance.message.reading import clean_tag, people
from appliance.net.http_messages import Request, Response
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.forms import Form, read_form
from appliance.services.catcher.frame import Frame, go, tokens
from appliance.services.catcher.releasing import ReleaseError
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending
from appliance.storage.mbox_text import SEPARATOR, unquote

__all__ = ["Steps", "split_mail"]

_MOST_IMPORTED: Final = 10_000
_LINE_END: Final = re.compile(rb"\r?\n")


class Steps:
    """See the module."""

    def __init__(self, frame: Frame, sending: Sending) -> None:
        self._frame = frame
        self._desk: Desk = frame.desk
        self._sending = sending
        self._root = frame.places.root

    def add_to(self, routes: Routes) -> None:
        routes.add("POST", "/view/{id}/delete", self._delete)
        routes.add("POST", "/view/{id}/unread", self._mark_unread)
        routes.add("POST", "/view/{id}/tags", self._set_tags)
        routes.add("POST", "/view/{id}/release", self._release)
        routes.add("POST", "/bulk", self._many)
        routes.add("POST", "/delete-all", self._delete_all)
        routes.add("POST", "/undo", self._undo)
        routes.add("GET", "/import", self._show_import)
        routes.add("POST", "/import", self._import)

    def _list(self, form: Form, **values: str) -> Response:
        """Send the browser back to the list it came from."""
        query = form.get("q")[:500]
        return go(self._root, "search" if query else "", {"q": query, **values})

    async def _delete(self, request: Request, values: dict[str, str]) -> Response:
        form = read_form(request)
        count, token = await self._frame.trash.delete([values["id"]])
        following = form.get("next")
        if following and await self._desk.find(following, {}) is not None:
            return go(self._root, f"view/{following}", {"q": form.get("q")[:500], **_deleted(count, token)})
        return self._list(form, **_deleted(count, token))

    async def _mark_unread(self, request: Request, values: dict[str, str]) -> Response:
        await self._desk.catcher.set_read([values["id"]], read=False)
        return self._list(read_form(request))

    async def _set_tags(self, request: Request, values: dict[str, str]) -> Response:
        form = read_form(request)
        await self._desk.catcher.set_tags([values["id"]], _tags(form.get("tags")))
        return go(self._root, f"view/{values['id']}", {"q": form.get("q")[:500]})

    async def _release(self, request: Request, values: dict[str, str]) -> Response:
        """Let a message go to the real server; what leaves of it is the rules' affair."""
        form, summary, release = read_form(request), await self._desk.find(values["id"], {}), self._sending.release
        if summary is None or release is None:
            return await self._frame.show(request, "gone.html", status=404)
        recipients = [person.address for person in people([" ".join(form.get("to").split()).encode("utf-8", "replace")])]
        refusal = "" if recipients else self._frame.words(request)["no_recipient"]
        try:
            if recipients:
                await release.send(await self._desk.data(summary), summary.envelope.reverse_path, recipients)
        except ReleaseError as error:
            refusal = str(error)
        if refusal:
            return await self._frame.show(request, "refused.html", {"error": refusal, "summary": summary}, status=400)
        return go(self._root, f"view/{summary.id}", {"q": form.get("q")[:500], "done": "released", "n": str(len(recipients))})

    async def _many(self, request: Request, _values: dict[str, str]) -> Response:
        """Do one thing to all messages that are ticked."""
        form = read_form(request)
        ids, action, catcher = form.all("id")[:_MOST_IMPORTED], form.get("action"), self._desk.catcher
        if not ids:
            return self._list(form, done="none_chosen")
        if action == "compare":
            if len(ids) == 2:
                return go(self._root, "compare", {"a": ids[1], "b": ids[0], "q": form.get("q")[:500]})
            return self._list(form, done="choose_two")
        if action == "delete":
            return self._list(form, **_deleted(*await self._frame.trash.delete(ids)))
        if action in {"read", "unread"}:
            await catcher.set_read(ids, read=action == "read")
        elif action == "tag":
            await self._add_tags(ids, _tags(form.get("tags")))
        return self._list(form)

    async def _add_tags(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        for one in ids:
            summary = await self._desk.find(one, {})
            if summary is not None:
                await self._desk.catcher.set_tags([one], list(dict.fromkeys([*summary.tags, *tags])))

    async def _delete_all(self, request: Request, _values: dict[str, str]) -> Response:
        """Delete everything, or what a search finds."""
        form, catcher = read_form(request), self._desk.catcher
        await catcher.settled()
        ids = await catcher.offload.run(catcher.store.find, self._desk.terms(form.get("q"))) if form.get("q") else None
        return go(self._root, "", _deleted(*await self._frame.trash.delete(ids)))

    async def _undo(self, request: Request, _values: dict[str, str]) -> Response:
        form = read_form(request)
        ids = await self._frame.trash.restore(form.get("token"))
        if len(ids) == 1:
            return go(self._root, f"view/{ids[0]}", {"q": form.get("q")[:500]})
        return self._list(form, done="restored" if ids else "too_late", n=str(len(ids)))

    async def _show_import(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._frame.show(request, "import.html")

    async def _import(self, request: Request, _values: dict[str, str]) -> Response:
        """Catch the messages of files: one each, or the many of an mbox."""
        count, last = 0, ""
        for file in read_form(request).files:
            for reverse_path, data in split_mail(file.data):
                if count == _MOST_IMPORTED:
                    break
                count += 1
                last = await self._sending.keep(data, reverse_path, (), client=request.client, protocol="FILE")
        if count == 1:
            return go(self._root, f"view/{last}", {"done": "imported", "n": "1"})
        return go(self._root, "", {"done": "imported" if count else "nothing_imported", "n": str(count)})


def _deleted(count: int, token: str) -> dict[str, str]:
    return {"done": "deleted", "n": str(count), "deleted": token}


def _tags(text: str) -> list[str]:
    return [tag for one in tokens(text)[:50] if (tag := clean_tag(one))]


def split_mail(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each message of a file, lines ending in CRLF, with the sender that an mbox names."""
    data = data.lstrip(b"\r\n\0 \t").removeprefix(b"\xef\xbb\xbf")
    if not data:
        return
    if not SEPARATOR.match(data.replace(b"\r\n", b"\n", 1)[:2_000]):
        yield "", _LINE_END.sub(b"\r\n", data)
        return
    whole = b"\n" + data.replace(b"\r\n", b"\n")
    starts: list[int] = []
    at = whole.find(b"\nFrom ")
    while at >= 0:
        if SEPARATOR.match(whole, at + 1, at + 2_000):
            starts.append(at + 1)
        at = whole.find(b"\nFrom ", at + 1)
    for start, end in zip(starts, [*starts[1:], len(whole)], strict=True):
        line, _, message = whole[start:end].partition(b"\n")
        sender = line.split(b" ")[1].decode("utf-8", "replace")
        yield sender if "@" in sender else "", unquote(message.removesuffix(b"\n")).replace(b"\n", b"\r\n")
