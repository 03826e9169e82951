"""Decoding: what is accepted, and each complaint with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.decode import decode
from appliance.config.problem import ConfigError, Problem
from appliance.config.report import MAX_HINTS
from appliance.config.schema import Config, UserConfig

SMALLEST = """\
domain = "example.com"

[[users]]
name = "ana"
password = "{PLAIN}secret"
"""


def problems(text: str) -> list[str]:
    """Return the problems of a text as people read them; none if it decodes."""
    try:
        decode(text, "f.toml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_five_lines_are_a_whole_file() -> None:
    """A domain and one user are enough; the rest are defaults."""
    expected = Config(domain="example.com", users=(UserConfig(name="ana", password="{PLAIN}secret"),))
    assert expected == decode(SMALLEST, "f.toml")


def test_an_alias_may_be_one_text_or_a_list() -> None:
    """A single target needs no brackets."""
    config = decode(SMALLEST + '[aliases]\nsales = "ana"\n"info@example.com" = ["ana", "x@elsewhere.example"]\n', "f.toml")
    assert config.aliases == {"sales": ("ana",), "info@example.com": ("ana", "x@elsewhere.example")}


def test_all_problems_come_at_once_and_in_the_order_of_the_file() -> None:
    """One run tells everything."""
    text = 'domain = "example.com"\nhostnme = "x"\n[smtp]\nmax_mesage_bytes = 1\nlisten = "x:25"\n[relay]\ntls = "mya"\n'
    assert problems(text) == [
        "f.toml:2: hostnme: unknown setting; did you mean hostname?",
        "f.toml:4: smtp.max_mesage_bytes: unknown setting; did you mean max_message_bytes?",
        'f.toml:5: smtp.listen: is the text "x:25", wanted a list: ["x:25"]',
        'f.toml:7: relay.tls: is the text "mya", wanted "none" or "may" or "encrypt" or "dane" or "verify" or "implicit"; did you mean may?',
    ]


CASES = [
    ("max_message_bytes = 3", 2, "max_message_bytes: unknown setting; it belongs into [smtp] or [submission]"),
    ('[smtp]\ndomain = "a.example"', 3, "smtp.domain: unknown setting; domain belongs to the top of the file, above the first [table]"),
    (
        '[smtp]\nmax_message_bytes = "50MB"',
        3,
        'smtp.max_message_bytes: is the text "50MB", wanted a whole number: max_message_bytes = 50_000_000',
    ),
    ('[queue]\nfirst_retry_s = "5m"', 3, 'queue.first_retry_s: is the text "5m", wanted a whole number: first_retry_s = 300'),
    ("[smtp]\nmax_errors = true", 3, "smtp.max_errors: is true, wanted a whole number"),
    ("[smtp]\nmax_errors = 1.5", 3, "smtp.max_errors: is the number 1.5, wanted a whole number"),
    ("[smtp]\nmax_errors = 0", 3, "smtp.max_errors: is 0, wanted a number from 1 to 9_007_199_254_740_992"),
    ("[smarthost]\nport = 70000", 3, "smarthost.port: is 70000, wanted a number from 1 to 65_535"),
    ('[smtp]\nverify_command = "no"', 3, 'smtp.verify_command: is the text "no", wanted true or false, without quotes'),
    ("hostname = 3", 2, "hostname: is the number 3, wanted text in quotes"),
    ("domains = [1]", 2, "domains[1]: is the number 1, wanted text in quotes"),
    ('domains = ["a_b@c.example"]', 2, "domains[1]: 'a_b@c.example' is an address; write only its domain, c.example"),
    ('domains = ["-x"]', 2, "domains[1]: '-x' is not a domain name such as example.com"),
    ("smtp = 3", 2, "smtp: is the number 3, wanted a table: [smtp] on a line of its own, its keys below"),
    ("aliases = 2024-01-01", 2, "aliases: is a date or time, wanted a table: [aliases] on a line of its own, its entries below"),
    ('users = "ana"', 2, 'users: is the text "ana", wanted a list of tables: [[users]]: ["ana"]'),
    ("users = [3]", 2, "users[1]: is the number 3, wanted a table"),
    ("[[users]]\npassword = ''", 2, 'users[1].name: is missing; write name = "ana"'),
    ('[[users]]\nname = "Ana"', 3, "users[1].name: 'Ana' has capitals; write ana (mail to any spelling reaches it)"),
    (
        'trusted_networks = ["10.0.0.1/8"]',
        2,
        "trusted_networks[1]: 10.0.0.1/8 has bits set behind its /8; did you mean 10.0.0.0/8 or 10.0.0.1?",
    ),
    (
        'trusted_networks = ["0.0.0.0/0"]',
        2,
        "trusted_networks[1]: 0.0.0.0/0 is the whole internet: anybody could send spam through this server",
    ),
    ('trusted_networks = ["lan"]', 2, "trusted_networks[1]: 'lan' is not a network such as 192.168.1.0/24"),
    ('[imap]\nlisten = ["143"]', 3, "imap.listen[1]: '143' lacks host or port; write HOST:PORT, as in 127.0.0.1:143"),
    ('[imap]\nlisten = ["::1:143"]', 3, "imap.listen[1]: '::1:143': write an IPv6 address in square brackets, as in [::1]:143"),
    (
        '[imap]\nlisten = [":143"]',
        3,
        "imap.listen[1]: ':143' names no address; write 0.0.0.0:143 for all of IPv4 and [::]:143 for all of IPv6",
    ),
    ('[imap]\nlisten = ["[x]:143"]', 3, "imap.listen[1]: 'x' is not an IPv6 address"),
    ('[imap]\nlisten = ["a:99999"]', 3, "imap.listen[1]: '99999' is not a port (0 to 65535)"),
    ('[imap]\nlisten = ["a b:1"]', 3, "imap.listen[1]: 'a b' is neither an IP address nor a host name"),
    ('[lmtp]\nlisten = ["unix:lmtp"]', 3, "lmtp.listen[1]: 'unix:lmtp' needs an absolute path, as in unix:/run/carteiro/lmtp"),
    (
        '[dns]\nservers = ["ns.example"]',
        3,
        "dns.servers[1]: 'ns.example' is not a name server's address: write ADDRESS or ADDRESS:PORT, as in 192.0.2.53 or [2001:db8::53]:53",
    ),
    ('[relay]\nbind_address = "x"', 3, "relay.bind_address: 'x' is not an IP address"),
    ('[mail]\nsent = "INBOX"', 3, "mail.sent: 'INBOX' cannot be a folder name"),
    ('[mail]\nsent = "a%"', 3, "mail.sent: 'a%' has characters that folder names cannot have"),
    ('[smarthost]\nhost = "192.0.2.1"', 3, "smarthost.host: write an address in square brackets: [192.0.2.1]"),
    (
        '[smarthost]\nhost = "a:25"',
        3,
        "smarthost.host: 'a:25' is neither a host name nor an address literal such as [192.0.2.1]; the port has a key of its own",
    ),
    ('data = "a\\u0000b"', 2, "data: has a NUL character in it"),
]


@pytest.mark.parametrize(("lines", "line", "message"), CASES)
def test_each_mistake_has_its_line_and_its_words(lines: str, line: int, message: str) -> None:
    """The sentence says what is there, what is wanted and, where it can, the fix."""
    found = problems(f'domain = "example.com"\n{lines}\n')
    assert f"f.toml:{line}: {message}" in found


def test_a_plain_password_is_refused_and_never_repeated() -> None:
    """A password that is no hash is a mistake; the text with it goes to screens and logs."""
    (message,) = problems('domain = "example.com"\n[[users]]\nname = "ana"\npassword = "hunter2"\n')
    assert message.startswith("f.toml:4: users[1].password: is not a hash; set it with `carteiro user passwd NAME`")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('domain "x"', 1, "a key must be followed by = and a value"),
        ("domain = example.com", 1, "text stands in quotes"),
        ('domain = "a"\ndomain = "b"', 2, "this key is in the file twice"),
        ("[smtp]\n[imap]\n[smtp]", 3, "this table is in the file twice"),
        ('domain = "a', 1, "a text lacks its closing quote"),
        ('\ndomain = """a\n', 2, "a text lacks its closing quote"),
        ("[smtp", 1, "a [table] line lacks its closing ]"),
        ('domain = "a" "b"', 1, "something follows the value"),
        ('data = "c:\\mail"', 1, "a backslash must be doubled"),
        ('domains = ["a" "b"]', 1, "a list lacks its comma or closing ]"),
        ("a = " + "[" * 5_000, 0, "nested too deeply"),
        ("a = " + "9" * 5_000, 0, "a value cannot be read"),
    ],
)
def test_broken_toml_is_told_with_its_line(text: str, line: int, words: str) -> None:
    """A syntax error is a sentence for people, not tomllib's."""
    with pytest.raises(ConfigError) as caught:
        decode(text, "f.toml")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert words in problem.message


def test_a_problem_reads_as_file_line_key_and_message() -> None:
    """The form that editors jump to."""
    assert str(Problem("f.toml", 3, "smtp.listen", "is bad")) == "f.toml:3: smtp.listen: is bad"
    assert str(Problem("f.toml", 0, "", "is empty")) == "f.toml: is empty"


TOML_WORDS = st.sampled_from(
    [
        'domain = "example.com"',
        "[[users]]",
        'name = "ana"',
        "[aliases]",
        "[smtp]",
        "= ",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'''",
        '"""',
        "\\",
        "#",
        "\n",
        "listen = [",
        "users",
        "aliases = {a = 1}",
        "1",
        "true",
        "\r\n",
        "\ufeff",
        "a.b.c = 2",
        "ana = ['ana']",
        "\0",
        "é",
        ",",
        "postmaster = 'x'",
    ]
)


@given(st.lists(TOML_WORDS | st.text(max_size=8), max_size=24).map("".join))
def test_any_text_decodes_or_raises_config_error(text: str) -> None:
    """No text breaks the decoder, the scanner or a rule."""
    try:
        decode(text, "f.toml")
    except ConfigError as error:
        told = error.problems
    else:
        return
    assert told


def test_thousands_of_mistakes_are_told_at_once() -> None:
    """What was meant is looked for a few times only; each mistake is told all the same."""
    told = problems("\n".join(f"hostnme{number} = 1" for number in range(3_000)))
    assert MAX_HINTS == sum("did you mean" in text for text in told)
    assert 3_000 <= len(told)
