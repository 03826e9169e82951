"""Keys are changed on schedule, when the new ones are in the DNS."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.clock import ManualClock
from appliance.net.offload import InlineOffload
from appliance.net.resolver import ResolveError
from appliance.observe.maillog import MailLog
from appliance.services.relay.rotation import KeyRotation
from appliance.storage.dkim_keys import DkimKeys

DAY_S = 86_400


@dataclass
class House:
    """A domain with keys, its DNS and its log."""

    keys: DkimKeys
    clock: ManualClock
    records: dict[str, bytes | ResolveError] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        log = MailLog(listeners=[lambda event, _level, fields: self.events.append((event, fields))])
        self.rotation = KeyRotation(self.keys, self, days=30, offload=InlineOffload(), clock=self.clock, mail_log=log)

    async def texts(self, name: str) -> tuple[bytes, ...]:
        await trio.lowlevel.checkpoint()
        found = self.records.get(name, b"")
        if isinstance(found, ResolveError):
            raise found
        return (b"unrelated", found) if found else ()

    def publish(self) -> None:
        """Put the following pair into the DNS."""
        for key in self.keys.private_keys("here.example", self.keys.load("here.example").following):
            text = base64.b64encode(key.public)
            self.records[f"{key.selector}._domainkey.here.example"] = b"v=DKIM1; k=x; p=" + text[:20] + b" " + text[20:]

    def told(self) -> list[str]:
        names = [event for event, _fields in self.events]
        self.events.clear()
        return names


@pytest.fixture
def house(tmp_path: Path) -> House:
    clock = ManualClock()
    keys = DkimKeys(tmp_path / "dkim")
    keys.create("here.example", "c", clock.now_s())
    return House(keys, clock)


async def test_the_following_pair_takes_over_in_its_time(house: House) -> None:
    """Not before its day, not before its records are seen; the old one is kept for a while and then forgotten, which is told."""
    first = house.keys.load("here.example")
    house.publish()
    house.clock.advance(29 * DAY_S)
    await house.rotation.look()
    assert [] == house.told()
    house.clock.advance(DAY_S)
    await house.rotation.look()
    assert ["dkim_rotated"] == house.told()
    second = house.keys.load("here.example")
    assert (first.following.rsa, first.current.rsa) == (second.current.rsa, second.retired[0].rsa)
    await house.rotation.look()
    assert [] == house.told()
    house.clock.advance(15 * DAY_S)
    await house.rotation.look()
    assert ["dkim_forgotten"] == house.told()
    assert () == house.keys.load("here.example").retired


@pytest.mark.parametrize("fault", [b"", b"v=DKIM1; p=AAAA", b"no tags", ResolveError("server failure", temporary=True)], ids=str)
async def test_what_the_dns_does_not_show_is_told_each_day(house: House, fault: Any) -> None:
    """With one record missing or wrong the old keys go on signing."""
    first = house.keys.load("here.example")
    house.publish()
    house.records[f"{first.following.ed25519}._domainkey.here.example"] = fault
    house.clock.advance(31 * DAY_S)
    await house.rotation.look()
    (fields,) = [fields for event, fields in house.events if event == "dkim_not_published"]
    assert (first.following.ed25519, first.current) == (fields["selectors"], house.keys.load("here.example").current)
    assert "carteiro dkim list here.example" in fields["fix"]


async def test_damaged_keys_stop_nothing(house: House, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """They are told each day; the other domains' turn comes."""
    (tmp_path / "dkim" / "broken.example").mkdir()
    (tmp_path / "dkim" / "broken.example" / "keys.json").write_text("{")
    with trio.move_on_after(2.5 * DAY_S):
        await house.rotation.run()
    assert ["dkim_unusable"] * 3 == house.told()
