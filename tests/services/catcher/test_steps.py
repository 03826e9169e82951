"""What is done on the page: the forms, each followed to where it leads, as a browser without scripts does."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from appliance.net.http_messages import Response
from appliance.policy.caught_release import ReleaseRules
from appliance.services.catcher.releasing import ReleaseError
from appliance.services.catcher.steps import split_mail
from appliance.services.catcher.words import WORDS

KIND = "application/x-www-form-urlencoded"
MESSAGE = b"From: Ana <ana@shop.test>\r\nTo: dev@app.test\r\nSubject: %b\r\nMessage-ID: <%b@shop.test>\r\n\r\nHello %b\r\n"


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


async def post(web: Any, path: str, *fields: tuple[str, str]) -> tuple[str, str]:
    """Send a form; return where it leads and what is there."""
    response = await web.ask("POST", path, urlencode(fields).encode(), content_type=KIND)
    assert 303 == response.status
    where = response.headers["location"]
    page = await web.ask("GET", where)
    return where, text(page)


async def upload(web: Any, path: str, files: Sequence[bytes], **fields: str) -> Response:
    parts = [f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts += [b'--XX\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data + b"\r\n" for data in files]
    response: Response = await web.ask("POST", path, b"".join(parts) + b"--XX--\r\n", content_type="multipart/form-data; boundary=XX")
    return response


async def catch(catching: Any, *subjects: bytes) -> list[str]:
    return [await catching.catch(MESSAGE % (one, one, one), "dev@app.test") for one in subjects]


async def test_deleting_can_be_taken_back(catching: Any, web: Any) -> None:
    """The message comes back at its place with its id, tags, envelope and whether it was read; once only, and not after a while."""
    ids = await catch(catching, b"one", b"two", b"three")
    await post(web, f"/view/{ids[1]}/tags", ("tags", "kept, also kept"))
    before = catching.catcher.store.summary(ids[1])
    where, page = await post(web, f"/view/{ids[1]}/delete")
    token = dict(parse_qsl(urlsplit(where).query))["deleted"]
    assert ["three", "one"] == await catching.subjects()
    assert WORDS["en"]["undo"] in page
    where, _ = await post(web, "/undo", ("token", token))
    assert f"/view/{ids[1]}" == where
    assert ["three", "two", "one"] == await catching.subjects()
    after = catching.catcher.store.summary(ids[1])
    assert (before.number, before.tags, before.envelope) == (after.number, after.tags, after.envelope)
    _, page = await post(web, "/undo", ("token", token))
    assert WORDS["en"]["done.too_late"] in page
    where, _ = await post(web, f"/view/{ids[0]}/delete", ("next", ids[1]))
    assert where.startswith(f"/view/{ids[1]}?")
    catching.clock.advance(301)
    _, page = await post(web, "/undo", ("token", dict(parse_qsl(urlsplit(where).query))["deleted"]))
    assert WORDS["en"]["done.too_late"] in page


async def test_all_of_a_search_or_all(catching: Any, web: Any) -> None:
    """Only what was found is deleted; all of it comes back."""
    await catch(catching, b"keep", b"drop it", b"drop this")
    where, _ = await post(web, "/delete-all", ("q", "subject:drop"))
    assert ["keep"] == await catching.subjects()
    await post(web, "/undo", ("token", dict(parse_qsl(urlsplit(where).query))["deleted"]))
    assert ["drop this", "drop it", "keep"] == await catching.subjects()
    await post(web, "/delete-all")
    assert [] == await catching.subjects()


async def test_what_is_too_much_to_remember_is_gone(catching: Any, web: Any) -> None:
    """No undo is offered then."""
    await catching.catch(MESSAGE % (b"big", b"big", b"x" * 17_000_000), "dev@app.test")
    where, page = await post(web, "/delete-all")
    assert "deleted=" not in where.replace("done=deleted", "")
    assert WORDS["en"]["undo"] not in page


async def test_ticked_messages(catching: Any, web: Any) -> None:
    """Read, unread, tags, compare and delete for those that are ticked; nothing for none."""
    one, two, three = await catch(catching, b"one", b"two", b"three")
    store = catching.catcher.store

    def read() -> list[bool]:
        return [store.summary(message_id).read for message_id in (one, two, three)]

    await post(web, "/bulk", ("id", one), ("id", three), ("action", "read"))
    assert [True, False, True] == read()
    await post(web, "/bulk", ("id", one), ("action", "unread"))
    assert [False, False, True] == read()
    await post(web, "/bulk", ("id", one), ("action", "tag"), ("tags", "a"))
    await post(web, "/bulk", ("id", one), ("id", two), ("action", "tag"), ("tags", "b, <c>"))
    assert [["a", "b", "c"], ["b", "c"]] == [store.summary(message_id).tags for message_id in (one, two)]
    where, page = await post(web, "/bulk", ("id", two), ("id", one), ("action", "compare"))
    assert f"/compare?a={one}&b={two}" == where
    assert "Hello one" in page
    for fields, word in (((("action", "delete"),), "done.none_chosen"), ((("id", one), ("action", "compare")), "done.choose_two")):
        _, page = await post(web, "/bulk", *fields)
        assert WORDS["en"][word] in page
    await post(web, "/bulk", ("id", one), ("id", two), ("action", "delete"), ("q", ""))
    assert ["three"] == await catching.subjects()


async def test_files_are_imported(catching: Any, web: Any) -> None:
    """One message with any line ends, the many of an mbox, and nothing of an empty file."""
    mbox = (
        b"From ana@shop.test Tue Dec  1 02:00:00 2026\nSubject: first\n\n>From here on\n\n"
        b"From MAILER-DAEMON Tue Dec  1 02:00:01 2026\nSubject: second\n\nFrom a line\n"
    )
    response = await upload(web, "/import", [b"Subject: alone\n\nHi\n", mbox])
    assert 303 == response.status
    assert "done=imported&n=3" in response.headers["location"]
    assert ["second", "first", "alone"] == await catching.subjects()
    first = catching.catcher.store.latest()[1]
    assert b"Subject: first\r\n\r\nFrom here on\r\n" == catching.catcher.store.content(first.number)
    assert ("ana@shop.test", "FILE") == (first.envelope.reverse_path, first.envelope.protocol)
    assert "nothing_imported" in (await upload(web, "/import", [b"\r\n"])).headers["location"]
    assert 200 == (await web.ask("GET", "/import")).status
    assert [] == list(split_mail(b""))


async def test_a_message_is_written_and_answered(catching: Any, web: Any) -> None:
    """The answer goes to who wrote, names what it answers and quotes it; what is wrong is told and nothing is lost."""
    (asked,) = await catch(catching, b"Question")
    page = text(await web.ask("GET", f"/compose?reply={asked}"))
    assert "Re: Question" in page
    assert "&gt; Hello Question" in page
    fields = {
        "from": "dev@app.test",
        "to": "Ana <ana@shop.test>, bob@app.test",
        "subject": "Re: Question é",
        "text": "Yes",
        "html": "<b>Yes</b>",
    }
    response = await upload(web, "/compose", [b"\x89PNG\r\n\x1a\n"], **fields, references="<Question@shop.test>", bcc="eve@app.test")
    assert 303 == response.status
    sent = catching.catcher.store.latest()[0] if await catching.subjects() else None
    assert sent is not None
    found = json.loads(text(await web.ask("GET", f"/api/carteiro/v1/messages/{sent.id}")))
    assert ("Re: Question é", 1, ["eve@app.test"]) == (found["subject"], found["attachments"], found["hidden_recipients"])
    assert b"In-Reply-To: <Question@shop.test>\r\n" in catching.catcher.store.content(sent.number)
    wrong = await upload(web, "/compose", [], **fields | {"to": "nobody"})
    assert 400 == wrong.status
    assert "&lt;b&gt;Yes&lt;/b&gt;" in text(wrong)
    assert "Hello Question" in text(await web.ask("GET", f"/compose?again={asked}"))
    assert 200 == (await web.ask("GET", "/compose?reply=gone&again=gone")).status


class Relay:
    """A server that takes mail for one domain, as the rules let it go."""

    server = "mx.real.test:25"

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, str, Sequence[str]]] = []

    async def send(self, data: bytes, reverse_path: str, recipients: Sequence[str]) -> None:
        if not all(one.endswith("@real.test") for one in recipients):
            raise ReleaseError("not <allowed>")
        self.sent.append((ReleaseRules().rewritten(data, ""), reverse_path, recipients))


async def test_a_message_is_released(catching: Any, web: Any) -> None:
    """Offered where there is a server for it; its Bcc stays here; a refusal is told."""
    message_id = await catching.catch(b"Subject: x\r\nBcc: eve@app.test\r\n\r\nHi\r\n", "ana@real.test")
    path = f"/view/{message_id}"
    form = urlencode({"to": "Ana <ana@real.test>, bob@real.test"}).encode()
    assert WORDS["en"]["release_to"] not in text(await web.ask("GET", path))
    assert 404 == (await web.ask("POST", f"{path}/release", form, content_type=KIND)).status
    web.sending.release = relay = Relay()
    assert "mx.real.test:25" in text(await web.ask("GET", path))
    _, page = await post(web, f"{path}/release", ("to", "Ana <ana@real.test>, bob@real.test"))
    assert "Released to 2" in page
    assert [(b"Subject: x\r\n\r\nHi\r\n", "app@shop.test", ["ana@real.test", "bob@real.test"])] == relay.sent
    for asked, told in (("x@other.test", "not &lt;allowed&gt;"), ("", WORDS["en"]["no_recipient"])):
        refused = await web.ask("POST", f"{path}/release", urlencode({"to": asked}).encode(), content_type=KIND)
        assert 400 == refused.status
        assert told in text(refused)
