"""Messages made from requests."""

import base64
from email import message_from_bytes, policy
from typing import Any

import pytest

from appliance.services.catcher.compose import ComposeError, compose

BASE: dict[str, Any] = {"From": {"Email": "a@b.test", "Name": "Ana"}, "To": [{"Email": "c@d.test"}], "Subject": "Olá", "Text": "Texto é"}


def test_a_message_with_everything() -> None:
    """Alternatives, pictures inside, files around, headers and tags."""
    body = BASE | {
        "HTML": "<img src=cid:p>", "Cc": [{"Email": "e@f.test", "Name": "É"}], "Bcc": ["g@h.test"], "ReplyTo": [{"Email": "i@j.test"}],
        "Tags": ["x", "y"], "Headers": {"X-A": "1"},
        "Attachments": [
            {"Filename": "p.png", "Content": "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), "ContentID": "p"},
            {"Filename": "f.txt", "Content": base64.b64encode(b"file").decode()},
        ],
    }  # fmt: skip
    composed = compose(body, now_s=0)
    message: Any = message_from_bytes(composed.data, policy=policy.default)
    assert ("a@b.test", ("c@d.test", "e@f.test", "g@h.test")) == (composed.reverse_path, composed.recipients)
    assert ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "text/plain"] == [
        part.get_content_type() for part in message.walk()
    ]
    assert ("Olá", "x, y", "1", None) == (message["Subject"], message["X-Tags"], message["X-A"], message["Bcc"])
    assert "Texto é" == message.get_body(("plain",)).get_content()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"To": []}, "no recipients"), ({"To": [{"Email": "x"}]}, "invalid To address: x"), ({"From": {}}, "from not set"),
        ({"Headers": {"Subject": "x"}}, 'cannot overwrite header: "Subject"'), ({"Headers": {"X Y": "x"}}, "invalid header"),
        ({"Attachments": [{"Filename": "f", "Content": "%%"}]}, 'error decoding base64 attachment "f"'),
        ({"From": {"Email": "a@b.test\r\nX: y"}}, "invalid from address"), ({"Tags": ["a"], "Headers": {"x-tags": "b"}}, "cannot overwrite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(change: dict[str, Any], reason: str) -> None:
    """In the words of the interface."""
    with pytest.raises(ComposeError, match=reason):
        compose(BASE | change, now_s=0)


def test_nothing_ends_a_header_early() -> None:
    """Line ends in values become part of encoded words."""
    composed = compose(
        BASE | {"Subject": "a\r\nX-Evil: 1", "Headers": {"X-B": "b\r\nX-Evil: 2"}, "From": {"Email": "a@b.test", "Name": "N\r\nX-Evil: 3"}},
        now_s=0,
    )
    assert b"\nX-Evil" not in composed.data
