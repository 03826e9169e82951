"""Who caught mail may be let go to, and what of it changes on the way."""

import pytest

from appliance.policy.caught_release import ReleaseRules, RuleError, address_rule, any_rule

MESSAGE = b"From: Ana <ana@app.test>\r\nBcc: x@y.test\r\nMessage-ID: <1@app.test>\r\nSubject:  odd   blanks\r\n\r\nbody\r\n"


def test_it_leaves_as_it_came() -> None:
    """Byte for byte but for Bcc."""
    assert MESSAGE.replace(b"Bcc: x@y.test\r\n", b"") == ReleaseRules().rewritten(MESSAGE, "<new@here>")


def test_it_leaves_rewritten() -> None:
    """Another author with the same name, a new identifier, and the rest as it was."""
    changed = ReleaseRules(override_from="noreply@real.test", keep_message_id=False).rewritten(MESSAGE, "<new@here>")
    assert b"From: Ana <noreply@real.test>\r\n" in changed
    assert b"Message-ID: <new@here>\r\n" in changed
    assert b"ana@app.test" not in changed
    assert changed.endswith(b"Subject:  odd   blanks\r\n\r\nbody\r\n")


def test_who_may_be_written_to() -> None:
    """The allow list first, then the block list, in Mailpit's words."""
    rules = ReleaseRules(allow=any_rule([address_rule("ok.test")]), block=any_rule([address_rule("no@ok.test")]))
    assert "" == rules.refusal(["a@OK.test"])
    assert "Failed: 2 Addresses do not match the allowlist: a@b.test, c@xok.test" == rules.refusal(["a@b.test", "c@xok.test"])
    assert "Failed: 1 Address found on blocklist: no@ok.test" == rules.refusal(["no@ok.test"])
    with pytest.raises(RuleError):
        any_rule(["("])


def test_the_sender_of_what_leaves() -> None:
    """The envelope's own, the author's where it had none, another one where that is asked for."""
    assert ["r@a.test", "author@a.test"] == [ReleaseRules().sender(path, "author@a.test") for path in ("r@a.test", "")]
    assert "back@a.test" == ReleaseRules(return_path="back@a.test").sender("r@a.test", "")
