"""Messages that come back."""

from email import message_from_bytes
from typing import Any

from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.services.catcher.bounces import Bouncer
from appliance.storage.caught import NewCaught


async def test_a_real_report_comes_back(catching: Any) -> None:
    """For the recipients that ask for it, to the sender, once."""
    bouncer = Bouncer(catching.catcher, "carteiro.localhost")
    for sender in ("app@shop.test", ""):
        envelope = CaughtEnvelope(reverse_path=sender, recipients=("bounce+7@x.test", "ana@x.test"))
        await bouncer.caught(
            NewCaught(id="a", inbox="", created_ms=1_000, envelope=envelope, content=MemoryContent(b"Subject: Hello\r\n\r\nHi\r\n"))
        )
    await catching.catcher.settled()
    (summary,) = catching.catcher.store.latest()
    assert ("", ("app@shop.test",)) == (summary.envelope.reverse_path, summary.envelope.recipients)
    report: Any = message_from_bytes(catching.catcher.store.content(summary.number))
    assert "multipart/report" == report.get_content_type()
    text = report.as_string()
    assert "Final-Recipient: rfc822;bounce+7@x.test" in text.replace("; ", ";")
    assert "ana@x.test" not in text
    assert "Subject: Hello" in text
