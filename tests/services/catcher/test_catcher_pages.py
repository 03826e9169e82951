"""The page and our own interface."""

import json
import re
from importlib.resources import files
from typing import Any

import trio

from appliance.net.http_messages import Response
from appliance.services.catcher.words import WORDS

MESSAGE = (
    b"From: Ana <ana@shop.test>\r\nTo: dev@app.test\r\nSubject: <b>Reset</b>\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n"
    b"--x\r\n\r\nYour code is 482913.\r\nhttps://app.test/r\r\n--x\r\nContent-Type: text/html\r\n\r\n<script>evil()</script><p>Hi\r\n--x--\r\n"
)


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def test_every_word_exists_and_is_used() -> None:
    """What a template asks for is there in both languages, and nothing is there that none asks for."""
    package = files("appliance.services.catcher")
    sources = [one.read_text() for one in package.iterdir() if one.name.endswith((".html", ".py")) and one.name != "words.py"]
    written = "\n".join(sources)
    asked = set(re.findall(r"""\bw(?:ords)?\[["']([\w.-]+)["']\]""", written))
    beginnings = (*re.findall(r"""["']([a-z]+\.)["'] ~""", written), "done.", "width.", "scheme.")
    assert WORDS["en"].keys() == WORDS["pt"].keys()
    assert set() == asked - WORDS["en"].keys()
    unused = {key for key in WORDS["en"] if key not in asked and not key.startswith(beginnings) and f'"{key}"' not in written}
    assert set() == unused
    assert all(text.strip() for words in WORDS.values() for text in words.values())


async def test_a_list_and_every_look_at_a_message(catching: Any, web: Any) -> None:
    """Each tab answers; nothing of the message is markup of the page; reading marks it read."""
    message_id = await catching.catch(MESSAGE, "dev@app.test", "hidden@app.test", sender="bounce@shop.test")
    page = text(await web.ask("GET", "/"))
    assert "&lt;b&gt;Reset&lt;/b&gt;" in page
    for tab, expected in (
        ("html", "sandbox=\"allow-popups"), ("text", "Your code is 482913."), ("source", "&lt;script&gt;evil()"), ("headers", "multipart/alternative"),
        ("parts", "text/html"), ("checks", "https://app.test/r"), ("conversation", "swaks --server"), ("truth", "&lt;hidden@app.test&gt;"),
    ):  # fmt: skip
        response = await web.ask("GET", f"/view/{message_id}?tab={tab}")
        assert expected in text(response), tab
        assert "<script>evil" not in text(response)
        assert "script-src 'self'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
    assert catching.catcher.store.summary(message_id).read
    assert "482913</code>" in text(await web.ask("GET", f"/view/{message_id}"))


async def test_steps_without_scripts(catching: Any, web: Any) -> None:
    """Forms delete, mark and search; a page that was asked from elsewhere does nothing."""
    ids = [await catching.catch(MESSAGE, "dev@app.test") for _ in range(2)]
    assert 303 == (await web.ask("POST", f"/view/{ids[0]}/unread")).status
    assert 403 == (await web.ask("POST", "/delete-all", origin="https://evil.test")).status
    assert 303 == (await web.ask("POST", f"/view/{ids[0]}/delete")).status
    assert 404 == (await web.ask("GET", f"/view/{ids[0]}")).status
    assert WORDS["en"]["none_found"] in text(await web.ask("GET", "/search?q=nothing-like-it"))
    assert 302 == (await web.ask("GET", "/view/latest")).status
    await web.ask("POST", "/delete-all")
    assert WORDS["en"]["welcome"] in text(await web.ask("GET", "/view/latest"))


async def test_language_and_appearance_are_remembered(web: Any) -> None:
    """By the address once, by a cookie from then on, else as the browser says."""
    response = await web.ask("GET", "/?lang=pt")
    assert "carteiro-lang=pt" in response.headers["set-cookie"]
    assert 'lang="pt"' in text(await web.ask("GET", "/", cookie="carteiro-lang=pt"))
    assert 'lang="pt"' in text(await web.ask("GET", "/", accept_language="fr, pt-BR;q=0.9"))
    assert 'data-theme="dark"' in text(await web.ask("GET", "/", cookie="carteiro-theme=dark"))


async def test_everything_of_a_message_in_one_answer(catching: Any, web: Any) -> None:
    """Envelope, hash, codes, links, differences; ``latest`` is an id, too."""
    message_id = await catching.catch(MESSAGE, "dev@app.test", "hidden@app.test", sender="bounce@shop.test")
    for path in (message_id, "latest"):
        found = json.loads(text(await web.ask("GET", f"/api/carteiro/v1/messages/{path}")))
        assert (["482913"], ["https://app.test/r"], ["hidden@app.test"]) == (found["codes"], found["links"], found["hidden_recipients"])
        assert 2 == len(found["differences"])
    raw = await web.ask("GET", f"/api/carteiro/v1/messages/{message_id}/raw")
    assert MESSAGE == raw.body
    assert [{"name": "", "messages": 1, "unread": 1}] == json.loads(text(await web.ask("GET", "/api/carteiro/v1/inboxes")))
    assert {"deleted": 1} == json.loads(text(await web.ask("DELETE", f"/api/carteiro/v1/messages/{message_id}")))
    assert 404 == (await web.ask("GET", f"/api/carteiro/v1/messages/{message_id}")).status


async def test_waiting_ends_with_the_message(catching: Any, web: Any, autojump_clock: Any) -> None:
    """At once when it is there, when it comes, or with 408 when time is up."""
    found: list[Response] = []

    async def wait() -> None:
        found.append(await web.ask("GET", "/api/carteiro/v1/wait?query=subject:reset&timeout=30"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(5)
        await catching.catch(MESSAGE, "dev@app.test")
    assert [200] == [response.status for response in found]
    assert 6 > trio.current_time()
    late = await web.ask("GET", "/api/carteiro/v1/wait?count=2&timeout=3")
    assert (408, 1) == (late.status, len(json.loads(text(late))["messages"]))
    assert 400 == (await web.ask("GET", "/api/carteiro/v1/wait?timeout=soon")).status


async def test_faults_by_our_own_interface(web: Any) -> None:
    """What is named is set; nonsense is told."""
    answer = await web.ask("PUT", "/api/carteiro/v1/faults", {"greylist": True, "chaos": {"sender": {"code": 421, "percent": 5}}})
    assert {"greylist": True, "per_minute": 0, "delay_s": 0.0}.items() <= json.loads(text(answer)).items()
    wrong: Any
    for wrong in ({"greylist": 1}, {"per_minute": -1}, {"x": 1}, {"chaos": {"sender": {"code": 7}}}, {"chaos": []}, []):
        assert 400 == (await web.ask("PUT", "/api/carteiro/v1/faults", wrong)).status


async def test_the_specification_names_every_path(web: Any) -> None:
    """OpenAPI 3.1, and nothing that is not answered."""
    specification = json.loads(text(await web.ask("GET", "/api/carteiro/v1/openapi.json")))
    assert specification["openapi"].startswith("3.1")
    for path, methods in specification["paths"].items():
        for method in set(methods) & {"get", "put", "delete"}:
            asked = "/api/carteiro/v1" + path.replace("{id}", "none")
            if path not in {"/events", "/wait"}:
                assert (await web.ask(method.upper(), asked)).status in {200, 400, 404, *([408] if path.endswith("/wait") else [])}, path
