"""Runs the dialogues in tests/dialogs/mailboxes and tests/dialogs/finding over sessions on real stores, Maildir and mbox.

The account has INBOX, Drafts and Sent, all subscribed; settings are fields of ImapConfig, and ``quota``, a table of fields of QuotaLimits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.config.schema import ImapConfig
from appliance.model.ids import AccountName
from appliance.model.mailbox import QuotaLimits
from tests.services.imap.test_imap_dialogs import load_format, play

DIALOGS = Path(__file__).resolve().parents[2] / "dialogs"


@pytest.fixture(
    params=sorted(path for name in ("mailboxes", "finding") for path in (DIALOGS / name).glob("*.dialog")), ids=lambda path: path.stem
)
def dialog(request: pytest.FixtureRequest) -> Any:
    """Each dialogue, parsed."""
    return load_format().parse(request.param.read_text(encoding="utf-8"))


async def test_dialog(dialog: Any, stored_house: Callable[..., Any]) -> None:
    """Line by line."""
    options = dict(dialog.settings)
    quotas = {AccountName("ana"): QuotaLimits(**options.pop("quota", {}))}
    house = stored_house(settings=ImapConfig(**options), quotas=quotas)
    async with house.session() as client, house.session() as other:
        await other.log_in(select=b"INBOX")
        with trio.fail_after(10):
            await play(client, dialog.steps, None, other)
