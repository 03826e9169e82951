"""Logins: the address book, stored passwords and the limit on guesses together."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, TypeVarTuple

import pytest

from appliance.app.logins import DEV_ACCOUNT, Accounts, DevAccounts
from appliance.config.schema import Config, LoginConfig, UserConfig
from appliance.model.clock import ManualClock
from appliance.model.ids import AccountName
from appliance.policy.bearer import TokenError
from appliance.policy.directory import ConfigDirectory
from appliance.storage.accounts import hash_password, scram_keys, scram_keys_for

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
STORED = hash_password("horse", 64, b"s" * 16, b"t" * 16)
CONFIG = Config(
    domain="example.com",
    login=LoginConfig(argon2_memory_kib=64, max_failures=3),
    users=(
        UserConfig(name="ana", password=STORED, addresses=("a.silva@example.com", "ana@example.com")),
        UserConfig(name="bob", password="{PLAIN}secret"),
        UserConfig(name="eva"),
    ),
)
ANA, BOB = AccountName("ana"), AccountName("bob")
STRANGER = "198.51.100.7"


class House:
    """Accounts with a clock, a counted inline offload and a sleep that is written down."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.checks = 0
        self.slept: list[float] = []
        self.accounts = Accounts(CONFIG, ConfigDirectory(CONFIG), self, self.clock, b"k" * 32, self.sleep)

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        self.checks += 1
        return function(*args)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize("login", ["ana", "ANA", "ana@example.com", "a.silva@Example.com"])
async def test_name_and_own_addresses_are_logins(house: House, login: str) -> None:
    """Whatever a mail program's wizard guesses."""
    assert await house.accounts.check_password(login, "horse", STRANGER) == ANA


@pytest.mark.parametrize(
    ("login", "password"), [("ana", "hors"), ("nobody", "x"), ("bob", "Secret"), ("eva", ""), ("eva", "x"), ("postmaster", "horse")]
)
async def test_whatever_is_wrong_costs_one_hash(house: House, login: str, password: str) -> None:
    """An unknown name, a wrong password and a user without one cannot be told apart by time."""
    assert await house.accounts.check_password(login, password, STRANGER) is None
    assert house.checks == 1
    assert house.slept == [0.0]


async def test_a_check_is_remembered_for_five_minutes(house: House) -> None:
    """A program that polls pays for one hash; a wrong password always pays."""
    for _ in range(3):
        assert await house.accounts.check_password("ana", "horse", STRANGER) == ANA
    assert house.checks == 1
    assert await house.accounts.check_password("ana", "wrong", STRANGER) is None
    house.clock.advance(300)
    assert await house.accounts.check_password("ana@example.com", "horse", STRANGER) == ANA
    assert house.checks == 3


async def test_a_changed_password_is_in_force_after_reload(house: House) -> None:
    """What was remembered of the old one is forgotten."""
    assert await house.accounts.check_password("ana", "horse", STRANGER) == ANA
    changed = replace(CONFIG, users=(UserConfig(name="ana", password="{PLAIN}new"),))
    house.accounts.reload(changed, ConfigDirectory(changed))
    assert await house.accounts.check_password("ana", "horse", STRANGER) is None
    assert await house.accounts.check_password("ana", "new", STRANGER) == ANA
    assert await house.accounts.check_password("bob", "secret", STRANGER) is None


async def test_after_too_many_failures_even_the_right_password_is_refused_unseen(house: House) -> None:
    """Waits grow, no hash is computed any more; ten minutes later it works again."""
    for _ in range(3):
        await house.accounts.check_password("bob", "wrong", STRANGER)
    checks = house.checks
    assert await house.accounts.check_password("bob", "secret", STRANGER) is None
    assert await house.accounts.finish_scram("bob", proven=True, client_address=STRANGER) is None
    assert house.checks == checks
    assert house.slept == [0, 1, 2, 4, 4]
    house.clock.advance(600)
    assert await house.accounts.check_password("bob", "secret", STRANGER) == BOB


async def test_the_owner_at_the_usual_place_is_not_locked_out(house: House) -> None:
    """The address of the last good login stays open for that account."""
    assert await house.accounts.check_password("bob", "secret", STRANGER) == BOB
    for _ in range(5):
        await house.accounts.check_password("ana", "wrong", STRANGER)
    assert await house.accounts.check_password("bob", "secret", STRANGER) == BOB


async def test_scram_ends_like_any_login(house: House) -> None:
    """A proof opens, a failed one counts, an unknown name never opens."""
    assert await house.accounts.finish_scram("ana", proven=True, client_address=STRANGER) == ANA
    assert await house.accounts.finish_scram("ana", proven=False, client_address=STRANGER) is None
    assert await house.accounts.finish_scram("nobody", proven=True, client_address=STRANGER) is None
    assert house.slept == [0, 1]


def test_scram_keys_are_stored_made_or_decoys(house: House) -> None:
    """Hashed users have theirs in the file, plain ones get them made, others get what no password fits."""
    assert house.accounts.scram_keys("a.silva@example.com") == scram_keys(STORED)
    bob = house.accounts.scram_keys("bob")
    assert bob == scram_keys_for("secret", bob.salt) == house.accounts.scram_keys("bob@example.com")
    assert house.accounts.scram_keys("eva") == house.accounts.scram_keys("eva") != bob
    assert len(house.accounts.scram_keys("nobody").salt) == len(bob.salt) == 16


async def test_what_is_remembered_is_bounded(house: House) -> None:
    """A thousand successful checks at most."""
    users = tuple(UserConfig(name=f"u{number}", password=STORED) for number in range(3))
    changed = replace(CONFIG, users=users)
    house.accounts.reload(changed, ConfigDirectory(changed))
    for number in range(3):
        assert await house.accounts.check_password(f"u{number}", "horse", "127.0.0.1") == f"u{number}"
    assert house.checks == 3


class FakeTokens:
    """Knows one good token of each address."""

    def login_of(self, token: str, now_s: float) -> str:
        if not token.startswith("good "):
            raise TokenError("expired")
        return token.removeprefix("good ")


async def test_access_tokens(house: House) -> None:
    """Name or address; for oneself alone; a failure is waited for like a wrong password, and told to the log."""
    check = house.accounts.check_token
    assert (None, "access tokens are not taken") == await check("good ana", "", "192.0.2.1")
    house.accounts.tokens = FakeTokens()
    assert ("ana", "") == await check("good ana", "", "192.0.2.1")
    assert ("ana", "") == await check("good ana@example.com", "ana", "192.0.2.1")
    assert (None, "ana may not act as bob") == await check("good ana", "bob", "192.0.2.1")
    assert (None, "the token's user has no account") == await check("good nobody", "", "192.0.2.1")
    assert (None, "token: expired") == await check("bad", "", "192.0.2.3")
    for _ in range(20):
        await check("bad", "", "192.0.2.2")
    assert (None, "too many failures") == await check("good ana", "", "192.0.2.2")


def test_names_of_certificates(house: House) -> None:
    """The first that has an account; the login that is wanted chooses among several."""
    find = house.accounts.account_of_names
    assert find(("nobody@example.com", "Ana", "bob"), "") == "ana"
    assert find(("ana@example.com", "bob"), "bob@example.com") == "bob"
    assert find(("ana@example.com",), "bob") is None
    assert find((), "") is None


async def test_the_catcher_lets_everybody_in() -> None:
    """Any name and password is the one account; SCRAM cannot be proven."""
    accounts = DevAccounts()
    assert await accounts.check_password("x", "y", STRANGER) == DEV_ACCOUNT
    assert await accounts.finish_scram("x", proven=False, client_address=STRANGER) is None
    assert accounts.scram_keys("x") == accounts.scram_keys("x")
