"""Links of a message, judged without asking anybody."""

import pytest

from appliance.policy.link_check import Link, check_links, find_links, is_private_address


def test_links_are_found_once_in_order() -> None:
    """Links, then pictures, then the text's; marks at the end of a sentence are none of theirs."""
    html = '<img src="https://i.test/p.png"><a href="https://a.test/1">x</a><a href="mailto:x@y">m</a><a href="https://a.test/1">y</a>'
    text = "See https://b.test/2. Or <https://c.test/with\nbreak>"
    assert [
        "https://a.test/1",
        "https://i.test/p.png",
        "https://b.test/2",
        "https://c.test/with",
        "https://c.test/withbreak",
    ] == find_links(html, text)


def test_nothing_is_asked() -> None:
    """Private addresses are blocked, names nobody has are not found, the rest is not checked."""
    html = '<a href="http://10.0.0.1/">a</a><a href="https://x.test/">b</a><a href="https://example.com/">c</a><a href="http://localhost/">d</a>'
    assert [
        Link("http://10.0.0.1/", 451, "Blocked private/reserved address"),
        Link("https://x.test/", 0, "no such host"),
        Link("https://example.com/", 0, "not checked: nothing is fetched"),
        Link("http://localhost/", 451, "Blocked private/reserved address"),
    ] == check_links(html, "")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "[::1]", "::", "fe80::1",
        "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_private_networks(host: str) -> None:
    """In all the forms that programs take, and inside of IPv6."""
    assert is_private_address(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2001:4860:4860::8888", "example.com", "64:ff9b::808:808"])
def test_public_addresses(host: str) -> None:
    """Those may be asked."""
    assert not is_private_address(host)
