"""What the options of ``carteiro dev``, and Mailpit's environment, amount to."""

import argparse
from pathlib import Path

import pytest

from appliance.app.dev_options import OptionError, add_arguments, catcher_options, listen_on


def read(*words: str, **environment: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser, environment)
    return parser.parse_args(words)


def test_where_it_listens() -> None:
    """The command line wins over the environment, each part of an address by itself."""
    environment = {"MP_SMTP_BIND_ADDR": "0.0.0.0:2525", "MP_UI_BIND_ADDR": "[::1]:9025"}
    args = read(**environment)
    assert ["0.0.0.0:2525", "[::1]:9025", "127.0.0.1:1143"] == [listen_on(args, name) for name in ("smtp", "http", "imap")]
    args = read("--host", "::1", "--http-port", "0", **environment)
    assert ["[::1]:2525", "[::1]:0"] == [listen_on(args, name) for name in ("smtp", "http")]


def test_mailpits_environment() -> None:
    """What the same variables say to Mailpit."""
    options = catcher_options(
        read(
            MP_MAX_MESSAGES="500",
            MP_MAX_AGE="2d",
            MP_UI_AUTH="ana:one bob:two",
            MP_WEBROOT="mail",
            MP_API_CORS="https://a.test, https://b.test",
            MP_WEBHOOK_URL="http://127.0.0.1:9/hook",
            MP_WEBHOOK_LIMIT="5",
            MP_LABEL="staging",
            MP_SMTP_RELAY_HOST="mx.test",
            MP_SMTP_RELAY_PORT="2587",
            MP_SMTP_RELAY_STARTTLS="true",
            MP_SMTP_RELAY_USERNAME="u",
            MP_SMTP_RELAY_PASSWORD="p",
            MP_SMTP_RELAY_ALLOWED_RECIPIENTS="@ok\\.test$",
            MP_SMTP_RELAY_MATCHING="^real@",
        )
    )
    assert (500, 172_800.0, "/mail/", "staging") == (options.keep, options.max_age_s, options.root, options.label)
    assert (("ana", "one"), ("bob", "two")) == options.logins
    assert ("https://a.test", "https://b.test") == options.origins
    assert options.webhook is not None
    assert (5.0, "staging") == (options.webhook.pause_s, options.webhook.label)
    assert options.relay is not None
    assert ("mx.test:2587", "verify", "u", "p") == (
        options.relay.server,
        options.relay.hop.tls.value,
        options.relay.hop.username,
        options.relay.hop.password,
    )
    assert ["real@ok.test"] == options.relay.rules.forwarded(["real@ok.test", "x@ok.test", "real@no.test"])


def test_logins_and_tokens_from_files(tmp_path: Path) -> None:
    """A file has one in each line; hashed passwords are told, not taken for plain ones."""
    file = tmp_path / "logins"
    file.write_text("# people\nana:one\n\nbob:two\n")
    assert (("ana", "one"), ("bob", "two")) == catcher_options(read("--http-auth", str(file))).logins
    assert ("t",) == catcher_options(read("--http-token", "t")).tokens
    file.write_text("ana:$2y$05$abcdef\n")
    with pytest.raises(OptionError, match="hashed"):
        catcher_options(read("--http-auth", str(file)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--forward", "a.test"], "needs --relay"),
        (["--relay", "mx.test:0"], "HOST:PORT"),
        (["--http-auth", "nobody"], "USER:PASSWORD"),
        (["--webhook", "ftp://x.test/"], "no http"),
    ],
)
def test_what_cannot_be(words: list[str], reason: str) -> None:
    """Told before anything starts."""
    with pytest.raises(OptionError, match=reason):
        catcher_options(read(*words))


def test_a_relay_by_address() -> None:
    """An address is no name to look up; a domain is a rule for all its addresses."""
    relay = catcher_options(read("--relay", "127.0.0.1:2525", "--forward", "real.test", "--relay-block", "no@real.test")).relay
    assert relay is not None
    assert ("[127.0.0.1]", 2525, "127.0.0.1:2525") == (relay.hop.host, relay.hop.port, relay.server)
    assert ["a@real.test"] == relay.rules.forwarded(["a@real.test", "no@real.test", "a@unreal.test"])
