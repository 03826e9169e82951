"""The address book: what becomes of an address, who may write as whom."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.decode import decode
from appliance.config.problem import ConfigError
from appliance.config.schema import Config, MailConfig, UserConfig
from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused, RemoteTarget
from appliance.policy.directory import ConfigDirectory

ANA, BOB = AccountName("ana"), AccountName("bob")
CONFIG = Config(
    domain="example.com",
    domains=("example.org", "köln.example"),
    relay_domains=("relay.example",),
    users=(
        UserConfig(name="ana"),
        UserConfig(name="bob", addresses=("robert@example.com", "Bob.B@Example.Org", "joão@example.com")),
    ),
    aliases={
        "sales": ("ana", "bob"),
        "team": ("sales", "Partner@Elsewhere.example", "ana"),
        "only@example.org": ("bob",),
        "away": ("x@relay.example",),
    },
    catch_all={"köln.example": "bob"},
)


@pytest.fixture
def directory() -> ConfigDirectory:
    return ConfigDirectory(CONFIG, own_addresses=("192.0.2.1", "2001:db8::1"))


def to(*targets: str) -> Deliverable:
    """Return where an address leads: accounts as ``ana`` or ``ana+detail``, anything with @ elsewhere."""
    return Deliverable(
        tuple(
            RemoteTarget(target) if "@" in target else LocalTarget(AccountName(target.partition("+")[0]), target.partition("+")[2])
            for target in targets
        )
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ana@example.com", to("ana")),
        ("ANA@Example.ORG", to("ana")),
        ("ana@mail.example.com", to("ana")),
        ("ana@localhost", to("ana")),
        ("ana@köln.example", to("ana")),
        ("ana@xn--kln-sna.example", to("ana")),
        ("ana@KÖLN.example", to("ana")),
        ('"ana"@example.com', to("ana")),
        ('"a\\na"@example.com', to("ana")),
        ("ana+Lists@example.com", to("ana+lists")),
        ("ana+a+b@example.com", to("ana+a+b")),
        ("ana@[192.0.2.1]", to("ana")),
        ("ana@[IPv6:2001:DB8:0::1]", to("ana")),
        ("ana@[192.0.2.9]", NotLocal()),
        ("robert@example.com", to("bob")),
        ("bob.b@example.org", to("bob")),
        ("robert+x@example.com", to("bob+x")),
        ("João@example.com", to("bob")),
        ("joa\u0303o@example.com", to("bob")),
        ("sales@example.com", to("ana", "bob")),
        ("Sales@example.org", to("ana", "bob")),
        ("sales+q3@example.com", to("ana+q3", "bob+q3")),
        ("team@example.com", to("Partner@elsewhere.example", "ana", "bob")),
        ("only@example.org", to("bob")),
        ("away@example.com", to("x@relay.example")),
        ("postmaster@example.com", to("ana")),
        ("Postmaster@example.org", to("ana")),
        ("postmaster", to("ana")),
        ("abuse@example.com", to("ana")),
        ("anything@köln.example", to("bob")),
        ("a@elsewhere.example", NotLocal()),
        ("a@relay.example", NotLocal(relay_domain=True)),
        ("a@sub.relay.example", NotLocal()),
    ],
)
def test_each_address_leads_where_the_settings_say(directory: ConfigDirectory, address: str, expected: object) -> None:
    """Users, aliases, plus, roles, catch_all, other domains; twice, since answers are kept."""
    found = directory.resolve(address)
    if isinstance(found, Deliverable) and isinstance(expected, Deliverable):
        assert set(expected.targets) == set(found.targets)
    else:
        assert expected == found
    assert found == directory.resolve(address)


@pytest.mark.parametrize("address", ["bob@example.com", "nobody@example.com", "only@example.com", "+x@example.com", "@example.com"])
def test_an_unknown_address_of_ours_is_refused(directory: ConfigDirectory, address: str) -> None:
    """550 5.1.1 at RCPT, not a bounce later (RFC 5321 section 3.3)."""
    found = directory.resolve(address)
    assert isinstance(found, Refused)
    assert (found.code, found.status) == (550, "5.1.1")


def test_postmaster_goes_where_it_is_told() -> None:
    """A user, an alias or an address elsewhere; an alias of that very name wins."""
    users = (UserConfig(name="ana"), UserConfig(name="bob"))
    directory = ConfigDirectory(Config(domain="example.com", users=users, postmaster="bob"))
    assert to("bob") == directory.resolve("postmaster@example.com")
    directory = ConfigDirectory(Config(domain="example.com", users=users, postmaster="p@elsewhere.example"))
    assert to("p@elsewhere.example") == directory.resolve("abuse@example.com")
    directory = ConfigDirectory(Config(domain="example.com", users=users, aliases={"postmaster": ("bob",)}))
    assert to("bob") == directory.resolve("postmaster@example.com")


def test_a_copy_to_oneself_ends_at_the_user() -> None:
    """An alias named as a user may list that user, who then comes first; two may list each other."""
    users = (UserConfig(name="ana"), UserConfig(name="bob"))
    aliases = {"ana": ("bob", "ana"), "bob": ("bob", "ana")}
    directory = ConfigDirectory(Config(domain="example.com", users=users, aliases=aliases))
    assert to("ana", "bob") == directory.resolve("ana@example.com")
    assert to("bob", "ana") == directory.resolve("bob@example.com")
    assert LocalTarget(ANA) == directory.mailbox_of("ana@example.com")


def test_users_who_copy_each_other_both_get_what_a_list_brings() -> None:
    """The order in which ways through a circle are tried does not matter."""
    users = (UserConfig(name="ana"), UserConfig(name="bob"))
    config = Config(domain="example.com", users=users, aliases={"all": ("ana", "bob"), "ana": ("bob",), "bob": ("ana",)})
    assert set(to("ana", "bob").targets) == set(ConfigDirectory(config).resolve("all@example.com").targets)  # type: ignore[union-attr]


def test_an_alias_met_twice_never_falls_through_to_catch_all() -> None:
    """Two ways to one alias are one way."""
    config = Config(
        domain="example.com",
        users=(UserConfig(name="ana"), UserConfig(name="eva")),
        aliases={"all": ("team", "board"), "board": ("team", "all"), "team": ("ana",)},
        catch_all={"example.com": "eva"},
    )
    assert to("ana") == ConfigDirectory(config).resolve("all@example.com")


def test_plus_can_be_another_sign_or_off() -> None:
    """An empty separator makes the plus sign an ordinary letter."""
    users = (UserConfig(name="ana"),)
    off = ConfigDirectory(Config(domain="example.com", users=users, mail=MailConfig(plus_separator="")))
    assert isinstance(off.resolve("ana+x@example.com"), Refused)
    minus = ConfigDirectory(Config(domain="example.com", users=users, mail=MailConfig(plus_separator="-")))
    assert to("ana+x") == minus.resolve("ana-x@example.com")


@pytest.mark.parametrize(
    ("account", "address", "expected"),
    [
        (ANA, "ana@example.com", True),
        (ANA, "Ana+work@example.org", True),
        (ANA, "sales@example.com", True),
        (ANA, "postmaster@example.com", True),
        (ANA, "robert@example.com", False),
        (ANA, "only@example.org", False),
        (ANA, "ana@elsewhere.example", False),
        (ANA, "nobody@example.com", False),
        (ANA, "", True),
        (BOB, "robert@example.com", True),
        (BOB, "whatever@köln.example", True),
        (BOB, "ana@example.com", False),
        (AccountName("eva"), "", False),
    ],
)
def test_people_send_as_what_leads_to_them(directory: ConfigDirectory, account: AccountName, address: str, expected: bool) -> None:
    """Own addresses, aliases and roles that lead there, with a plus or not."""
    assert expected == directory.may_send_as(account, address)


def test_who_forwards_all_mail_may_still_send() -> None:
    """An alias over a user's name takes the mail, not the address."""
    config = Config(domain="example.com", users=(UserConfig(name="ana"),), aliases={"ana": ("x@elsewhere.example",)})
    directory = ConfigDirectory(config)
    assert to("x@elsewhere.example") == directory.resolve("ana@example.com")
    assert directory.may_send_as(ANA, "ana@example.com")


def test_logins_are_names_and_own_addresses(directory: ConfigDirectory) -> None:
    """Aliases and plus addresses are no logins."""
    logins = ["ana", " ANA ", "ana@example.org", "bob", "robert@example.com", "bob@example.com", "sales", "ana+x", "ana@other.example", ""]
    assert [directory.account_of_login(login) for login in logins] == [ANA, ANA, ANA, BOB, BOB, None, None, None, None, None]


def test_addresses_are_completed_with_the_origin(directory: ConfigDirectory) -> None:
    """RFC 5321 section 4.1.1.3: postmaster alone is an address."""
    assert [directory.qualify(each) for each in ("ana", "ana@x.example", "", '"a@b"', '"a@b"@c.example')] == [
        "ana@example.com",
        "ana@x.example",
        "",
        '"a@b"@example.com',
        '"a@b"@c.example',
    ]
    assert (directory.primary_address(ANA), directory.primary_address(BOB)) == ("ana@example.com", "robert@example.com")
    assert (ANA, BOB) == directory.accounts()
    assert isinstance(directory.resolve('"a@b"'), Refused)


def test_the_cache_is_bounded(directory: ConfigDirectory) -> None:
    """Guesses with a plus do not grow the memory for ever, and answers stay right."""
    for number in range(10_000):
        directory.resolve(f"ana+{number}@example.com")
    assert to("ana+7") == directory.resolve("ana+7@example.com")


NAMES = st.sampled_from(["ana", "bob", "eva", "a", "b", "c"])
TARGETS = NAMES | st.sampled_from(["ana@example.com", "b@example.com", "a+x", "x@elsewhere.example", "postmaster", "c@example.org"])


@given(
    users=st.lists(st.sampled_from(["ana", "bob", "eva"]), unique=True, min_size=1),
    aliases=st.dictionaries(
        NAMES | st.sampled_from(["a@example.com", "b@example.org"]), st.lists(TARGETS, min_size=1, max_size=3), max_size=6
    ),
    postmaster=st.sampled_from(["", "ana", "a", "b@example.com", "x@elsewhere.example"]),
    catch_all=st.none() | TARGETS,
)
def test_in_a_file_that_decodes_every_alias_leads_to_somebody(
    users: list[str], aliases: dict[str, list[str]], postmaster: str, catch_all: str | None
) -> None:
    """The checker and the address book agree: what the one lets pass, the other can deliver."""
    lines = [
        'domain = "example.com"',
        'domains = ["example.org"]',
        f'postmaster = "{postmaster}"',
        *(f'[[users]]\nname = "{name}"' for name in users),
        "[aliases]",
    ]
    lines += [f'"{key}" = {targets}' for key, targets in aliases.items()]
    lines += ["[catch_all]", f'"example.com" = "{catch_all}"'] if catch_all else []
    try:
        config = decode("\n".join(lines), "f")
    except ConfigError:
        return
    directory = ConfigDirectory(config)
    for key in aliases:
        found = directory.resolve(key if "@" in key else f"{key}@example.com")
        if "@" not in key and f"{key}@example.com" in aliases:
            continue
        assert isinstance(found, Deliverable), (key, config.aliases)


@given(st.text(max_size=40))
def test_any_text_resolves(address: str) -> None:
    """No address breaks the address book."""
    directory = ConfigDirectory(CONFIG)
    assert isinstance(directory.resolve(address), Deliverable | NotLocal | Refused)
    assert directory.resolve(f"{address}@example.com") == directory.resolve(f"{address}@EXAMPLE.com")
    directory.may_send_as(ANA, address)
    directory.account_of_login(address)
    directory.qualify(address)


def test_addresses_of_a_relay_domain() -> None:
    """Where some are known the others are refused, but for postmaster; plus addresses count as their base; @DOMAIN is all of one."""
    config = replace(
        CONFIG,
        relay_domains=("relay.example", "open.example", "all.example"),
        relay_recipients=("Zoe@Relay.example", "@all.example", "x@all.example"),
    )
    directory = ConfigDirectory(config)
    taken = ["zoe@relay.example", "ZOE+lists@relay.example", "postmaster@relay.example", "any@open.example", "any@all.example"]
    assert [NotLocal(relay_domain=True)] * len(taken) == [directory.resolve(address) for address in taken]
    refused = directory.resolve("eve@relay.example")
    assert isinstance(refused, Refused)
    assert (550, "5.1.1") == (refused.code, refused.status)
