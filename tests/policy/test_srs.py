"""The Sender Rewriting Scheme, both ways."""

import pytest

from appliance.policy.srs import MAX_LOCAL_PART, SenderRewriting

DAY_S = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 20_000.0 * DAY_S

    def now_s(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def srs(clock: Clock) -> SenderRewriting:
    return SenderRewriting(b"secret", "ours.example", clock.now_s)


@pytest.mark.parametrize(
    "address", ["bob@far.example", "Bob+list@Far.example", "a=b=c@far.example", "o'neil@far.example", "josé@far.example"]
)
def test_there_and_back(srs: SenderRewriting, address: str) -> None:
    """What comes back goes to the author, in the spelling that he had; also when a server has changed the case of the prefix."""
    made = srs.forward(address)
    assert made.startswith("SRS0=")
    assert made.endswith("@ours.example")
    assert address == srs.reverse(made)
    assert address == srs.reverse("srs0" + made[4:])


def test_another_forwarder_before_us(srs: SenderRewriting, clock: Clock) -> None:
    """SRS1 remembers the first one; a third forwarder does not make it longer."""
    other = SenderRewriting(b"other", "first.example", clock.now_s)
    third = SenderRewriting(b"third", "third.example", clock.now_s)
    first = other.forward("bob@far.example")
    second = srs.forward(first)
    assert second.startswith("SRS1=")
    assert first == srs.reverse(second)
    last = third.forward(second)
    assert first == third.reverse(last)
    assert abs(len(last) - len(second)) <= 1


def test_mail_that_went_in_a_circle(srs: SenderRewriting, clock: Clock) -> None:
    """Where the first forwarder were we, the way back ends at the author, not at an address of our own."""
    other = SenderRewriting(b"other", "other.example", clock.now_s)
    made = srs.forward(other.forward(srs.forward("bob@far.example")))
    assert made.startswith("SRS1=")
    assert "bob@far.example" == srs.reverse(made)
    clock.now += 22 * DAY_S
    assert srs.reverse(made) is None


@pytest.mark.parametrize("address", ["", '"odd one"@far.example', "bob@[192.0.2.1]", "x" * MAX_LOCAL_PART + "@far.example"])
def test_what_stays_as_it_is(srs: SenderRewriting, address: str) -> None:
    """Null, quoted, literal, too long."""
    assert address == srs.forward(address)


def test_nobody_makes_one_up(srs: SenderRewriting, clock: Clock) -> None:
    """Another secret, another author, another domain, or an old one: it stands for nobody."""
    made = srs.forward("bob@far.example")
    assert SenderRewriting(b"guess", "ours.example", clock.now_s).reverse(made) is None
    assert srs.reverse(made.replace("bob@", "eve@")) is None
    assert srs.reverse(made.replace("=bob", "=eve")) is None
    assert srs.reverse(made.replace("ours.example", "theirs.example")) is None
    assert srs.reverse("SRS0=aaaaaaaa=aa=far.example=bob@ours.example") is None
    assert srs.reverse("srs-list@ours.example") is None
    clock.now += 21 * DAY_S
    assert "bob@far.example" == srs.reverse(made)
    clock.now += DAY_S
    assert srs.reverse(made) is None


def test_the_day_wraps(clock: Clock) -> None:
    """Two letters hold 1,024 days."""
    clock.now = 1_023.5 * DAY_S
    srs = SenderRewriting(b"s", "ours.example", clock.now_s)
    made = srs.forward("bob@far.example")
    clock.now += 2 * DAY_S
    assert "bob@far.example" == srs.reverse(made)
