"""What goes wrong on purpose."""

import pytest

from appliance.model.caught import Fault
from appliance.policy.caught_faults import ChaosError, Faults, Jim, magic_fault, wants_bounce


class Luck:
    def __init__(self) -> None:
        self.value = 0.99
        self.now_s = 0.0


@pytest.fixture
def luck() -> Luck:
    return Luck()


@pytest.fixture
def faults(luck: Luck) -> Faults:
    return Faults(chance=lambda: luck.value, monotonic_s=lambda: luck.now_s)


@pytest.mark.parametrize(
    ("address", "stage", "expected"),
    [
        ("rcpt-451@a.test", "rcpt", (451, "4.3.0")), ("RCPT-550+t1@a.test", "rcpt", (550, "5.0.0")), ("rcpt-451@a.test", "data", None),
        ("data-554@a.test", "data", (554, "5.0.0")), ("end-452@a.test", "end", (452, "4.3.0")),
        ("mail-550-5.7.1@a.test", "mail", (550, "5.7.1")), ("full@a.test", "rcpt", (452, "4.2.2")), ("rcpt-250@a.test", "rcpt", None),
        ("ana@a.test", "rcpt", None), ("", "mail", None), ("rcpt-451-9.9.9@a.test", "rcpt", None),
    ],
)  # fmt: skip
def test_magic_addresses(address: str, stage: str, expected: tuple[int, str] | None) -> None:
    """The local part says stage, code and status."""
    fault = magic_fault(address, stage)
    assert expected == ((fault.code, fault.status) if fault is not None else None)


def test_magic_behaviour() -> None:
    """Late, gone, and a bounce."""
    assert [Fault(delay_s=5), Fault(delay_s=0.25), Fault(delay_s=120)] == [
        magic_fault(f"slow-{how}@a.test", "rcpt") for how in ("5s", "250ms", "9999s")
    ]
    assert [Fault(hang_up=True), None, Fault(hang_up=True)] == [
        magic_fault("drop@a.test", "rcpt"), magic_fault("drop@a.test", "end"), magic_fault("drop-end@a.test", "end"),
    ]  # fmt: skip
    assert [True, True, False] == [wants_bounce(address) for address in ("bounce@a.test", "Bounce+x@a.test", "bounced@a.test")]


def test_greylisting_takes_the_second_try(faults: Faults) -> None:
    """A pair of sender and recipient is refused once; by address, or for all."""
    tried = [faults.at_recipient("a@b.test", "greylist@c.test") for _ in range(2)]
    assert [450, None] == [fault.code if fault else None for fault in tried]
    faults.greylist = True
    assert faults.at_recipient("a@b.test", "ana@c.test") is not None
    assert faults.at_recipient("a@b.test", "ana@c.test") is None


def test_chances_in_percent(faults: Faults, luck: Luck) -> None:
    """Each trigger by its own chance and code; nonsense changes nothing."""
    faults.set_chaos({"Sender": (421, 50), "Recipient": (550, 10), "Authentication": (535, 100)})
    luck.value = 0.3
    assert [421, None, 535] == [
        fault.code if fault else None
        for fault in (faults.at_sender("a@b.test", "::1"), faults.at_recipient("a@b.test", "c@d.test"), faults.at_login("x"))
    ]
    for wrong in ((200, 10), (451, 101)):
        with pytest.raises(ChaosError):
            faults.set_chaos({"Sender": wrong})
    assert (421, 50) == faults.chaos["Sender"]


def test_the_monkey(faults: Faults, luck: Luck) -> None:
    """Disconnects, refusals of senders, recipients and logins."""
    faults.jim = Jim(DisconnectChance=0.1, RejectSenderChance=0.5, RejectRecipientChance=0.0, RejectAuthChance=1.0)
    luck.value = 0.05
    assert Fault(hang_up=True) == faults.at_sender("a@b.test", "::1")
    luck.value = 0.2
    sender, recipient, login = faults.at_sender("", "::1"), faults.at_recipient("", "c@d.test"), faults.at_login("x")
    assert [451, None, 535] == [fault.code if fault else None for fault in (sender, recipient, login)]


def test_so_many_a_minute(faults: Faults, luck: Luck) -> None:
    """Then 421, until the minute is over; every client for itself."""
    faults.per_minute = 2
    assert [None, None, 421] == [fault.code if (fault := faults.at_sender("a@b.test", "::1")) else None for _ in range(3)]
    assert faults.at_sender("a@b.test", "::2") is None
    luck.now_s = 61
    assert faults.at_sender("a@b.test", "::1") is None
