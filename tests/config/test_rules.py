"""What must hold between keys, and what is allowed yet unwise."""

import time

import pytest

from appliance.config.advice import advice
from appliance.config.decode import decode
from appliance.config.problem import ConfigError
from appliance.config.schema import Config, RelayConfig, SmarthostConfig, SmtpConfig, SubmissionConfig, UserConfig, WebConfig

TOP = 'domain = "example.com"\n'
USERS = '[[users]]\nname = "ana"\n[[users]]\nname = "bob"\naddresses = ["robert@example.com"]\n'


def problems(text: str) -> list[str]:
    """Return the problems of a text as people read them; none if it decodes."""
    try:
        decode(text, "f")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 'f: domain: is missing; write domain = "example.com" with your mail domain'),
        (TOP + 'relay_domains = ["Example.COM"]', "f:2: relay_domains[1]: Example.COM is also one of your own domains; its mail cannot be kept here and passed on"),
        (TOP + 'relay_recipients = ["@x.example"]', "f:2: relay_recipients[1]: @x.example is no address at one of relay_domains, nor @DOMAIN for all of one"),
        (TOP + USERS + '[[users]]\nname = "ana"', "f:8: users[3].name: ana is in the file twice; the other is users[1]"),
        (TOP + '[mail]\nplus_separator = "-"\n[[users]]\nname = "a-b"', "f:5: users[1].name: a-b has the plus_separator - of [mail] in it"),
        (TOP + '[mail]\nplus_separator = "++"', "f:3: mail.plus_separator: wanted one of + - = # . or nothing"),
        (TOP + '[mail]\nsent = "X"\njunk = "x"', "f:4: mail.junk: x is also the name for sent"),
        (TOP + USERS + '[[users]]\nname = "eva"\naddresses = ["robert@EXAMPLE.com"]', "f:9: users[3].addresses[1]: robert@EXAMPLE.com already belongs to bob; use [aliases] to send mail to several users"),
        (TOP + '[[users]]\nname = "eva"\naddresses = ["eva@other.example"]', "f:4: users[1].addresses[1]: the domain of eva@other.example is not among your domains; add it to domains"),
        (TOP + '[pop3]\nlisten = ["127.0.0.1:143"]', "f:3: pop3.listen[1]: 127.0.0.1:143 is already taken by 0.0.0.0:143 of imap.listen"),
        (TOP + '[web]\nlisten = ["[::1]:25"]', "f:3: web.listen[1]: [::1]:25 is already taken by [::]:25 of smtp.listen"),
        (TOP + '[[routes]]\ndomain = "a.example"\nhost = "b.example"\n[[routes]]\ndomain = "A.example"\nhost = "c.example"', "f:6: routes[2].domain: A.example has a route twice; the other is routes[1]"),
        (TOP + '[[routes]]\ndomain = "example.com"\nhost = "b.example"', "f:3: routes[1].domain: example.com is one of your own domains; its mail stays here"),
        (TOP + '[[routes]]\ndomain = "a.example"\nhost = "[192.0.2.1]"\nuse_mx = true', "f:5: routes[1].use_mx: an address literal has no MX records"),
        (TOP + '[[routes]]\ndomain = "a.example"\nhost = "b.example"\npassword = "x"', "f:5: routes[1].password: a password without username is of no use"),
        (TOP + '[smarthost]\nhost = "b.example"\nusername = "u"', "f:4: smarthost.username: a username needs its password"),
        (TOP + '[smarthost]\nhost = "b.example"\nusername = "u"\npassword = "p"\npassword_file = "f"', "f:6: smarthost.password_file: password is set too; keep one of them"),
        (TOP + '[smarthost]\nusername = "u"\npassword = "p"', "f:2: smarthost.host: is missing; a login needs the server it is for"),
        (TOP + '[tls]\nkey_file = "k"', "f:3: tls.certificate_file: is missing; key_file needs it"),
        (TOP + '[tls]\ncertificate_file = "k"', "f:3: tls.key_file: is missing; certificate_file needs it"),
        (TOP + '[oauth]\nissuer = "x"\naudience = "y"', "f:2: oauth.keys_file: is missing; issuer, audience and keys_file go together"),
        (TOP + "[queue]\nmax_retry_s = 10", "f:3: queue.max_retry_s: is less than first_retry_s (300)"),
        (TOP + "[queue]\nlifetime_s = 10", "f:3: queue.lifetime_s: is less than first_retry_s (300): nothing would be tried twice"),
    ],
)  # fmt: skip
def test_keys_that_contradict_each_other_are_told(text: str, expected: str) -> None:
    """The complaint stands at the key that a person would change."""
    assert problems(text) == [expected]


def test_port_zero_may_be_asked_for_twice() -> None:
    """The system gives each a free one."""
    assert problems(TOP + '[smtp]\nlisten = ["127.0.0.1:0"]\n[imap]\nlisten = ["127.0.0.1:0"]') == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("sales = []", ["f:8: aliases.sales: leads to nobody; write at least one user or address, or remove it"]),
        ('sales = "anna"', ["f:8: aliases.sales[1]: anna is neither a user nor an alias here; did you mean ana?"]),
        ('sales = ["ana",\n "ana@elsewere@"]', ["f:9: aliases.sales[2]: 'ana@elsewere@' is neither a user, an alias nor a full address"]),
        ('sales = "nobody@example.com"', ["f:8: aliases.sales[1]: nobody@example.com is neither a user nor an alias here"]),
        ('sales = "bob@example.com"', ["f:8: aliases.sales[1]: bob@example.com is neither a user nor an alias here"]),
        ('"a b" = "ana"', ["f:8: aliases.a b: 'a b' is neither an address nor the part before its @"]),
        ('"a@other.example" = "ana"', ["f:8: aliases.a@other.example: the domain of a@other.example is not among your domains; add it to domains"]),
        ('sales = "ana"\nSales = "bob"', ["f:9: aliases.Sales: Sales and sales are the same address"]),
        ('a = "b"\nb = "c"\nc = "a"', ["f:8: aliases.a: leads back to itself, and no user a is there to take the mail: a -> b -> c -> a"]),
        ('a = "a"', ["f:8: aliases.a: leads back to itself, and no user a is there to take the mail: a -> a"]),
        ('a = "ana"\nana = "a"', ["f:8: aliases.a: leads back to itself, and no user a is there to take the mail: a -> ana -> a"]),
        ('ana = ["ana", "bob"]\nbob = ["ana", "bob"]', []),
        ('sales = "robert@example.com"\ninfo = "sales"\n"x@example.com" = "sales@EXAMPLE.com"\nana = "away@elsewhere.example"', []),
        ('sales = ["ana", "sales@elsewhere.example"]\ninfo = "info@elsewhere.example"', []),
        ('sales = ["ana+work", "postmaster", "ana@localhost"]', []),
    ],
)  # fmt: skip
def test_aliases_must_lead_somewhere_and_not_in_a_circle(lines: str, expected: list[str]) -> None:
    """A dead end is found when the file is read, not when mail is lost."""
    assert problems(TOP + USERS + "[aliases]\n" + lines) == expected


def test_thousands_of_aliases_cost_no_time() -> None:
    """Long chains, and many ways into one list of everybody, are judged in a moment."""
    count = 2_000
    users = "".join(f'[[users]]\nname = "u{number}"\n' for number in range(count))
    everybody = ", ".join(f'"u{number}"' for number in range(count))
    chain = "".join(f'c{number} = ["u{number}", "c{number + 1}"]\n' for number in range(count))
    many = "".join(f'x{number} = "all"\n' for number in range(count))
    began = time.process_time()
    assert problems(f"{TOP}{users}[aliases]\nall = [{everybody}]\n{chain}{many}c{count} = 'c7'\n")[0].endswith("c2000 -> c7")
    assert time.process_time() - began < 5


def test_postmaster_and_catch_all_must_lead_somewhere() -> None:
    """The last resorts are checked like any alias."""
    text = TOP + 'postmaster = "eva"\n' + USERS + '[catch_all]\n"example.org" = "ana"\n"example.com" = "x@example.com"\n'
    assert problems(text) == [
        "f:2: postmaster: eva is neither a user nor an alias here",
        "f:9: catch_all.example.org: example.org is not among your domains; did you mean example.com?",
        "f:10: catch_all.example.com: x@example.com is neither a user nor an alias here",
    ]


def test_an_alias_may_lead_to_what_catch_all_takes() -> None:
    """In a domain with catch_all every address is known."""
    assert problems(TOP + USERS + '[aliases]\nsales = "any@example.com"\n[catch_all]\n"example.com" = "ana"\n') == []


def test_advice_names_what_is_unwise() -> None:
    """Each dangerous setting is told by its key."""
    config = Config(
        domain="example.com",
        trusted_networks=("8.0.0.0/8", "10.0.0.0/8", "192.0.2.0/24"),
        users=(UserConfig(name="ana", password="{PLAIN}x"), UserConfig(name="bob")),
        smarthost=SmarthostConfig(host="h.example", username="u", password="p", tls="may"),
        submission=SubmissionConfig(require_tls=False, max_message_bytes=1_000),
        smtp=SmtpConfig(max_recipients=10),
        relay=RelayConfig(),
        web=WebConfig(listen=("0.0.0.0:8080", "127.0.0.1:81")),
    )
    assert [path for path, _ in advice(config)] == [
        ("users", 0, "password"),
        ("users", 1),
        ("trusted_networks", 0),
        ("smarthost", "tls"),
        ("submission", "require_tls"),
        ("submission", "max_message_bytes"),
        ("smtp", "max_recipients"),
        ("web", "listen", 0),
    ]
    assert [path for path, _ in advice(Config(domain="example.com"))] == [("users",)]
