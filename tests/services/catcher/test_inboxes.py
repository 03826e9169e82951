"""Inboxes with settings of their own."""

import base64
import json
from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.caught import CaughtEnvelope
from appliance.net.http_messages import Response
from appliance.policy.caught_faults import Faults
from appliance.services.catcher.inboxes import InboxError, Inboxes

INBOXES = "/api/carteiro/v1/inboxes"


def data(answer: Response) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def subjects(answer: Response) -> list[str]:
    return [message["subject"] for message in data(answer)["messages"]]


async def test_an_inbox_for_a_test_run(catching: Any, web: Any) -> None:
    """Made, used, deleted with what is in it; the rest of the mail stays."""
    made = await web.ask("POST", INBOXES, {})
    name = data(made)["name"]
    assert (201, ["*@" + name], name) == (made.status, data(made)["addresses"], data(made)["login"])
    assert name == catching.inboxes.of_envelope(CaughtEnvelope(username=name))
    await catching.catch(b"Subject: mine\r\n\r\n", f"ana@{name}", inbox=name)
    other = await catching.catch(b"Subject: other\r\n\r\n", "ana@app.test")
    assert ["mine"] == subjects(await web.ask("GET", f"{INBOXES}/{name}/messages"))
    assert ["mine"] == subjects(await web.ask("GET", f"{INBOXES}/{name}/wait?timeout=0"))
    assert 408 == (await web.ask("GET", f"{INBOXES}/{name}/wait?timeout=0&count=2")).status
    for wrong in ("timeout=nan", "timeout=-1", "timeout=x", "count=0", "count=1.5"):
        assert 400 == (await web.ask("GET", f"{INBOXES}/{name}/wait?{wrong}")).status, wrong
    assert "mine" == data(await web.ask("GET", f"{INBOXES}/{name}/messages/latest"))["subject"]
    assert b"Subject: mine\r\n\r\n" == (await web.ask("GET", f"{INBOXES}/{name}/messages/latest/raw")).body
    assert 404 == (await web.ask("GET", f"{INBOXES}/{name}/messages/{other}")).status
    assert 404 == (await web.ask("DELETE", f"{INBOXES}/{name}/messages/{other}")).status
    assert [] == subjects(await web.ask("GET", f'{INBOXES}/{name}/messages?query=inbox:""%20subject:other'))
    assert {"deleted": 1} == data(await web.ask("DELETE", f"{INBOXES}/{name}"))
    assert ["other"] == await catching.subjects()
    for method, target in (("GET", ""), ("DELETE", ""), ("PATCH", "")):
        assert 404 == (await web.ask(method, f"{INBOXES}/{name}{target}")).status
    assert "" == catching.inboxes.of_envelope(CaughtEnvelope(username=name))


async def test_settings_last_and_secrets_are_told_once(catching: Any, web: Any) -> None:
    """A second start knows what the first was told; only who sets a password or token sees it."""
    given = {
        "name": "Ana@App.test",
        "password": "x",
        "token": True,
        "keep": 5,
        "max_age_s": 60,
        "faults": {"per_minute": 3, "without": ["DSN"]},
    }
    made = data(await web.ask("POST", INBOXES, given))
    assert ("ana@app.test", ["ana@app.test"], "x") == (made["name"], made["addresses"], made["password"])
    assert len(made["token"]) > 20
    shown = data(await web.ask("GET", f"{INBOXES}/ana@app.test"))
    assert not {"password", "token"} & set(shown)
    assert (True, True, 5, 60, 3) == (
        shown["has_password"],
        shown["has_token"],
        shown["keep"],
        shown["max_age_s"],
        shown["faults"]["per_minute"],
    )
    changed = data(await web.ask("PATCH", f"{INBOXES}/ana@app.test", {"keep": 0, "faults": {"greylist": True}}))
    assert (0, True, 3, "x") == (changed["keep"], changed["faults"]["greylist"], changed["faults"]["per_minute"], changed["password"])
    second = Inboxes(catching.catcher, lambda: Faults(chance=lambda: 0.5, monotonic_s=lambda: 0))
    second.load()
    assert catching.inboxes.settings("ana@app.test") == second.settings("ana@app.test")
    faults = second.profile("", "ana@app.test")
    assert faults is not None
    assert (3, True, {"DSN"}) == (faults.per_minute, faults.greylist, set(faults.without))
    assert [{"name": "ana@app.test", "messages": 0, "unread": 0}] == data(await web.ask("GET", INBOXES))


@pytest.mark.parametrize(
    "given",
    [
        [], {"what": 1}, {"name": "dev"}, {"name": "a/b"}, {"name": ""}, {"name": 1}, {"keep": -1}, {"keep": 1.5}, {"keep": True}, {"max_age_s": "1"},
        {"expires_in_s": float("inf")}, {"password": 1}, {"password": "x" * 201}, {"token": False}, {"token": "a\n"}, {"faults": {"what": 1}}, {"faults": []},
    ],
)  # fmt: skip
async def test_what_cannot_be_makes_nothing(catching: Any, web: Any, given: Any) -> None:
    """400 with the reason, and no inbox is there afterwards."""
    answer = await web.ask("POST", INBOXES, given)
    assert (400, True) == (answer.status, bool(data(answer)["error"]))
    assert [] == catching.inboxes.names


async def test_names_are_taken_once(catching: Any, web: Any) -> None:
    """Neither made twice nor renamed."""
    await web.ask("POST", INBOXES, {"name": "a"})
    assert 409 == (await web.ask("POST", INBOXES, {"name": "A"})).status
    assert 400 == (await web.ask("PATCH", f"{INBOXES}/a", {"name": "b"})).status
    assert 400 == (await web.ask("PATCH", f"{INBOXES}/a", b"{")).status
    assert ["a"] == catching.inboxes.names


async def test_who_may_read(catching: Any) -> None:
    """A password where an inbox has one; any elsewhere; a name that is no inbox is everybody's, unless a rule makes inboxes of names."""
    inboxes = catching.inboxes
    await inboxes.make({"name": "ana", "password": "right"})
    assert ["ana", None, None, "dev"] == [
        inboxes.account_of(*login) for login in (("Ana", "right"), ("ana", "wrong"), ("ana", ""), ("bob", "x"))
    ]
    inboxes.rule = "user"
    assert ["bob", "dev", None] == [inboxes.account_of(*login) for login in (("bob", "x"), ("dev", "x"), ("ana", "x"))]


async def test_a_token_opens_one_inbox(catching: Any, make_web: Any) -> None:
    """And of the interfaces only what lies under it; settings are the operator's, but an end may be made."""
    web = make_web(tokens=("master",))
    assert 401 == (await web.ask("POST", INBOXES, {})).status
    made = data(await web.ask("POST", INBOXES, {"name": "ana", "token": "key"}, authorization="Bearer master"))
    await web.ask("POST", INBOXES, {"name": "ana2", "token": "key2"}, authorization="Bearer master")
    await catching.catch(b"Subject: mine\r\n\r\n", "x@ana", inbox="ana")
    assert "key" == made["token"]
    for path, expected in (
        ("", 200), ("/messages", 200), ("/messages/latest", 200), ("/wait?timeout=0", 200), ("2", 401), ("2/messages", 401),
    ):  # fmt: skip
        assert expected == (await web.ask("GET", f"{INBOXES}/ana{path}", authorization="Bearer key")).status, path
    for method, target in (
        ("GET", "/api/carteiro/v1/messages"),
        ("GET", "/"),
        ("GET", "/api/v1/messages"),
        ("PATCH", f"{INBOXES}/ana"),
        ("POST", INBOXES),
    ):
        assert 401 == (await web.ask(method, target, {}, authorization="Bearer key")).status, target
    login = base64.b64encode(b"ana:key").decode()
    assert 401 == (await web.ask("GET", f"{INBOXES}/ana", authorization=f"Basic {login}")).status
    assert 200 == (await web.ask("DELETE", f"{INBOXES}/ana", authorization="Bearer key")).status
    assert 401 == (await web.ask("GET", f"{INBOXES}/ana", authorization="Bearer key")).status


async def test_each_keeps_so_much(catching: Any) -> None:
    """By count, whatever others have."""
    await catching.inboxes.make({"name": "ana", "keep": 2})
    for number in range(4):
        await catching.catch(f"Subject: ana {number}\r\n\r\n".encode(), "x@ana", inbox="ana")
        await catching.catch(f"Subject: rest {number}\r\n\r\n".encode(), "x@b.test")
        await catching.catcher.settled()
    await trio.testing.wait_all_tasks_blocked()
    assert ["ana 2", "ana 3", "rest 0", "rest 1", "rest 2", "rest 3"] == sorted(await catching.subjects())


async def test_each_keeps_so_long(catching: Any, autojump_clock: trio.testing.MockClock) -> None:
    """By age, at the next look."""
    await catching.inboxes.make({"name": "ana", "max_age_s": 60})
    await catching.catch(b"Subject: ana\r\n\r\n", "x@ana", inbox="ana")
    await catching.catch(b"Subject: rest\r\n\r\n", "x@b.test")
    await catching.catcher.settled()
    catching.clock.advance(61)
    await trio.sleep(31)
    assert ["rest"] == await catching.subjects()


async def test_an_inbox_ends_by_itself(catching: Any, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """With its mail, at its time; one without a time stays."""
    nursery.start_soon(catching.inboxes.run)
    await catching.inboxes.make({"name": "run1", "expires_in_s": 40})
    await catching.inboxes.make({"name": "run2"})
    await catching.catch(b"Subject: gone\r\n\r\n", "x@run1", inbox="run1")
    await trio.sleep(35)
    assert ["run1", "run2"] == catching.inboxes.names
    catching.clock.advance(41)
    await trio.sleep(31)
    assert (["run2"], []) == (catching.inboxes.names, await catching.subjects())


async def test_too_many(catching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit to what one makes without deleting."""
    monkeypatch.setattr("appliance.services.catcher.inboxes.MOST_INBOXES", 1)
    await catching.inboxes.make({})
    with pytest.raises(InboxError, match="too many"):
        await catching.inboxes.make({})


async def test_a_change_does_not_outlast_a_removal(catching: Any) -> None:
    """Whatever each waits for, an inbox that was changed and then deleted is gone."""
    inboxes = catching.inboxes
    await inboxes.make({"name": "run-7"})
    async with trio.open_nursery() as both, inboxes._changing:
        both.start_soon(inboxes.change, "run-7", {"keep": 5})
        await trio.testing.wait_all_tasks_blocked()
        both.start_soon(inboxes.remove, "run-7")
        await trio.testing.wait_all_tasks_blocked()
    assert [] == inboxes.names
