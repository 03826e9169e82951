"""Settings: TOML to Config and what the editor does to it, listening addresses, the address book."""

import random
from collections.abc import Callable

from appliance.config import edit
from appliance.config.decode import decode, decode_located
from appliance.config.edit import EditError
from appliance.config.kinds import CHECKS, split_listen
from appliance.config.problem import ConfigError
from appliance.config.render import sample, show
from appliance.model.domain import canonical_domain, canonical_literal, is_domain
from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable
from appliance.net.endpoints import ListenError, parse_endpoint
from appliance.policy.directory import ConfigDirectory
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]


def _check_decode(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    try:
        config, locator = decode_located(text, "x.toml")
    except ConfigError as error:
        return _complaints(error, text)
    assert all(span.start <= span.value_start <= span.value_end <= len(text) for span in locator.spans.values())
    show(config)
    ConfigDirectory(config).resolve("ana@example.com")
    return len(config.users), len(config.aliases), len(config.routes)


def _complaints(error: ConfigError, text: str) -> tuple[str, ...]:
    assert error.problems
    lines = text.count("\n") + 1
    for problem in error.problems:
        assert 0 <= problem.line <= lines, problem
        assert problem.message
    return tuple(problem.message[:14] for problem in error.problems[:2])


def _check_edit(data: bytes, rnd: random.Random) -> object:
    """An edited file is a good file in which the change is there, or the edit is refused."""
    text = data.decode("utf-8", "replace")
    try:
        before = decode(text, "x.toml")
    except ConfigError:
        return None
    user = before.users[0].name if before.users else "ana"
    alias = next(iter(before.aliases), "none")
    changes: tuple[Callable[[], str], ...] = (
        lambda: edit.add_user(text, "newone", {"password": "{PLAIN}x"}),
        lambda: edit.set_user_key(text, user, "password", "{PLAIN}y"),
        lambda: edit.remove_user(text, user),
        lambda: edit.add_alias(text, "newalias", ["somebody@elsewhere.example"]),
        lambda: edit.remove_alias(text, alias),
    )
    change = rnd.choice(changes)
    try:
        changed = change()
    except EditError as error:
        return str(error)[:20]
    try:
        after = decode(changed, "x.toml")
    except ConfigError as error:
        # Removing somebody whom others point to is the command's matter; syntax is not.
        return not _complaints(error, changed)[0].startswith("not valid TOML") or _broken(changed)
    return len(after.users) - len(before.users), len(after.aliases) - len(before.aliases)


def _broken(text: str) -> bool:
    raise AssertionError(f"the editor wrote what is no TOML: {text}")


def _check_values(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    outcome = [not check(text) for check in CHECKS.values()]
    canonical = canonical_domain(text)
    assert not is_domain(text) or is_domain(canonical)
    literal = canonical_literal(text)
    assert literal is None or canonical_literal(f"[{literal}]") == literal
    found = split_listen(text)
    try:
        endpoint = parse_endpoint(text)
    except ListenError:
        return tuple(outcome)
    assert parse_endpoint(str(endpoint)) == endpoint
    assert 0 <= endpoint.port <= 65_535
    assert isinstance(found, tuple) or text.startswith((":", "*:", "unix:")) or "%" in text, (text, found)
    return tuple(outcome), endpoint.is_ipv6


_BOOK = """
domain = "example.com"
domains = ["bücher.example"]
relay_domains = ["relay.example"]
[[users]]
name = "ana"
[[users]]
name = "bob"
addresses = ["bob@example.com", "robert@bücher.example"]
[aliases]
sales = ["ana", "bob", "out@elsewhere.example"]
bob = ["loop2", "bob"]
loop2 = ["ana"]
ana = ["ana", "copy@elsewhere.example"]
[catch_all]
"bücher.example" = "bob+lost"
"""
_DIRECTORY = ConfigDirectory(decode(_BOOK, "x.toml"))


def _check_directory(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    found = _DIRECTORY.resolve(text)
    assert _DIRECTORY.resolve(text) == found
    if isinstance(found, Deliverable):
        assert found.targets
        assert len(set(found.targets)) == len(found.targets)
    mailbox = _DIRECTORY.mailbox_of(text)
    assert mailbox is None or mailbox.account in {"ana", "bob"}
    qualified = _DIRECTORY.qualify(text)
    assert not text or _DIRECTORY.resolve(qualified) == found or "@" in text or text.startswith('"'), qualified
    assert _DIRECTORY.account_of_login(text) in {None, "ana", "bob"}
    allowed = _DIRECTORY.may_send_as(AccountName("ana"), text)
    _DIRECTORY.is_local_domain(text.rpartition("@")[2])
    return type(found).__name__, str(found)[:80] if len(text) < 30 else "", allowed, mailbox is not None


_GOOD = (
    'domain = "example.com"\n[[users]]\nname = "ana"\npassword = "{PLAIN}x"\n\n# note\n[[users]]\nname = "bob" # b\naddresses = ["bob@example.com"]\n'
    '[aliases]\nsales = ["ana", "bob"]\n"x y@example.com" = "ana"\n[smtp]\nlisten = ["127.0.0.1:2525"]\nmax_message_bytes = 1_000_000\n[mail]\n'
    'format = "mbox"\n[[routes]]\ndomain = ".partner.example"\nhost = "[192.0.2.1]"\n[catch_all]\n"example.com" = "ana"\n'
)
_INLINE = 'domain = "example.com"\nusers = [{name = "ana"}, {name = "bob", password = "{PLAIN}x"}]\naliases = {sales = "ana", x = ["bob"]}\nsmtp.max_errors = 3\n'
_TOML_WORDS = [
    b"\n", b"[", b"]", b"[[users]]", b'name = "ana"', b"[smtp]\n", b"= ", b'"', b"'", b'"""', b"'''", b"{", b"}", b",", b"#", b"\\u0000", b"\\", b"true", b"1_0", b"0x1F", b"1e400", b"nan",
    b"1979-05-27T07:32:00Z", b".", b"domain", b"aliases.x = 1\n", b"max_recipients = 0\n", b"port = -1\n", b"\r\n", b"\t", b"\xc3\xbc", b"\0", b"\xef\xbb\xbf", b"listen = []\n",
    b"[a.b.c]\n", b'"a\\"b" = 1\n', b"password = 5\n", b"ana", b"bob", b"[[routes]]\n", b"[catch_all]\n", b"[aliases]\n", b"postmaster = \"x\"\n",
]  # fmt: skip
_ADDRESSES = [
    b"ana", b"bob", b"robert", b"sales", b"loop2", b"@", b"example.com", "bücher.example".encode(), b"xn--bcher-kva.example", b"+", b"+x", b'"', b"\\", b"postmaster", b"abuse",
    b"[127.0.0.1]", b"[IPv6:::1]", b"localhost", b"relay.example", b".", b" ", b"\0", "ü".encode(), "ß".encode(), "\u0130".encode(), "\u00ad".encode(), "\u3002".encode(), b"A",
]  # fmt: skip

TARGETS = [
    Target("toml", _check_decode, [_GOOD.encode(), _INLINE.encode(), sample().encode()[:3_000], _BOOK.encode()], _TOML_WORDS, [(b"", b"[[users]]\n", b""), (b'a = "', b"\\n", b'"'), (b"[aliases]\n", b"x = 1\n", b""), (b'a = """', b'"" ', b""), (b"", b"#\n", b""), (b"a = [", b"[],", b"]"), (b"a = ", b"'", b"")], 8_192),
    Target("toml_edit", _check_edit, [_GOOD.encode(), _INLINE.encode(), _BOOK.encode(), b'domain = "a.b"\n'], [b"\n", b"\r\n", b"# x\n", b"\t", b'domain = "a.b"\n', b'[[users]]\nname = "zoe"\n', b" ", b"[mail]\n", b'password = "{PLAIN}q"\n', b"[aliases]\n", b'zz = ["ana"]\n', b"'", b'"""\n'], [], 8_192),
    Target("setting_values", _check_values, [b"127.0.0.1:25", b"[::1]:25", b"unix:/run/x", b"example.com", b"ana@example.com", b"192.168.1.0/24", b"$argon2id$v=19$m=1,t=1,p=1$a$b", b"[IPv6:::1]"], [b":", b"[", b"]", b".", b"/", b"::", b"%eth0", b"unix:", b"*", b"localhost", b"25", b"1.2.3.4", b"xn--", "ü".encode(), "٣".encode(), b"@", b"$", b"{PLAIN}", b"..", b"-", b"A", "。".encode(), "\u200d".encode(), b"0"], [(b"", b"a.", b"b"), (b"", b"[", b"]"), (b"", b":", b""), (b"", "ü".encode(), b".de"), (b"", "ü.".encode(), b"de"), (b'"', b"\\a", b'"@x')], 4_096),
    Target("directory", _check_directory, [b"ana@example.com", b"sales+x@example.com", b"loop2@example.com", "robert@bücher.example".encode(), b'"ana"@[127.0.0.1]', b"postmaster", b"nobody@xn--bcher-kva.example"], _ADDRESSES, [(b"", b"a+", b"@example.com"), (b'"', b"\\a", b'"@example.com'), (b"a@", "ü".encode(), b".example"), (b"", b"@", b"example.com")], 4_096),
]  # fmt: skip
