"""The status page, its health check and metrics."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from appliance.observe.recent import BUCKET_S, Bucket, RecentEvent
from appliance.services.web.status import CertificateStatus, DiskStatus, IndexStatus, ListenerStatus

Make = Callable[..., Any]
NOW_S = 1_700_000_000.0
GB = 10**9
BUSY: dict[str, Any] = {
    "queue": {"active": 1, "deferred": 2, "unheard_of": 1},
    "oldest_entry_at_s": NOW_S - 7_200,
    "buckets": [Bucket(int(NOW_S) // BUCKET_S * BUCKET_S - place * BUCKET_S, 5, 1, 1, 1) for place in range(95, -1, -1)],
    "listeners": [ListenerStatus("IMAP", "[::]:143", "starttls"), ListenerStatus("IMAP", "[::]:993", "implicit")],
    "certificate": CertificateStatus("mail.example", "Some CA", NOW_S + 90 * 86_400),
    "disks": [DiskStatus("/var/lib/carteiro", 20 * GB, 32 * GB, 64_000_000), DiskStatus("/srv/mail", 40 * GB, 64 * GB, 1_000_000, False)],
    "events": [RecentEvent("auth_finished", False, "", "", "imap", 12, NOW_S - 60, NOW_S - 30)],
    "accounts": 12,
    "messages": 12_345,
    "text_index": IndexStatus(12_345, 11_000, 20_000_000, is_full=True, looked_ago_s=12.3),
}


def disk(free: int, *, holds_queue: bool = True) -> DiskStatus:
    """A disk of 32 GB with so much left."""
    return DiskStatus("/var/lib/carteiro" if holds_queue else "/srv/mail", free, 32 * GB, 64_000_000, holds_queue)


class Checker(HTMLParser):
    """Complains about tags that are not closed, and about scripts and inline styles, which our policy forbids."""

    VOID = frozenset({"meta", "link", "img", "br", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "iframe"}
        assert not {name for name, _ in attrs if name == "style" or name.startswith("on")}
        self.ids.extend(str(value) for name, value in attrs if name == "id")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {name for name, _ in attrs if name == "style" or name.startswith("on")}

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop(), tag


def check(page: str) -> None:
    checker = Checker()
    checker.feed(page)
    assert [] == checker.open
    assert len(checker.ids) == len(set(checker.ids))


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        BUSY,
        BUSY
        | {
            "disks": [disk(1), disk(2, holds_queue=False)],
            "oldest_due_at_s": NOW_S - 5_000,
            "certificate": CertificateStatus("x", "y", NOW_S - 1),
            "queue": {"corrupt": 1},
        },
        BUSY | {"disks": [disk(GB)], "certificate": CertificateStatus("x", "y", NOW_S + 86_400, own_authority=True)},
        BUSY | {"events": [RecentEvent("new_event", True, "<why>", "do this", "", 1, NOW_S - 9, NOW_S - 9)]},
    ],
)
async def test_every_state_makes_a_sound_page(make_site: Make, fields: dict[str, Any], language: str) -> None:
    """Whatever the state: well-formed, no scripts, no inline styles, and the policy's headers."""
    response = await make_site(**fields).get(f"/?lang={language}")
    assert 200 == response.status
    check(response.body.decode())
    assert f'<html lang="{language}">' in response.body.decode()


async def test_busy_page_tells_the_figures(make_site: Make) -> None:
    """Queue, disk, certificate, listeners and the chart's text alternative stand on the page."""
    page = (await make_site(**BUSY).page("/")).replace("\u00a0", " ")
    for expected in (
        "Everything works",
        "<b>4</b> messages on their way",
        "<b>2</b> will be tried again",
        "<b>1</b> unheard_of",
        "The oldest came in 2 h ago.",
        "20 GB free of 32 GB",
        "38 % used",
        "90 days left",
        "480 delivered, 96 deferred, 96 bounced, 96 refused in 24 hours.",
        "<td>[::]:143</td><td>STARTTLS</td>",
        "Login refused",
        "12 times",
        "<b>12,345</b> messages kept",
        "1 h 6 min",
        '<meta http-equiv="refresh" content="60">',
    ):
        assert expected in page, expected


async def test_problems_are_told_with_their_fix(make_site: Make) -> None:
    """The banner counts and words each problem."""
    page = await make_site(**BUSY | {"disks": [disk(1)], "oldest_due_at_s": NOW_S - 5_000}).page("/")
    assert "2 things need your attention" in page
    assert "The disk is full: 1\u00a0B left." in page
    assert "Free some space on the disk that holds /var/lib/carteiro." in page


async def test_a_full_disk_of_mailboxes_is_told(make_site: Make) -> None:
    """Mail is not refused then, it waits; monitors hear of it all the same."""
    site = make_site(**BUSY | {"disks": [disk(20 * GB), disk(5, holds_queue=False)]})
    page = await site.page("/")
    assert "The disk with the mailboxes is full: 5\u00a0B left. New mail waits in the queue." in page
    assert "Free some space on the disk that holds /srv/mail." in page
    assert (503, b"mail disk full: free 5\n") == ((ill := await site.get("/healthz")).status, ill.body)


async def test_language_follows_the_browser_and_the_link(make_site: Make) -> None:
    """Accept-Language decides, ?lang= overrides and is kept in links."""
    site = make_site()
    assert "Tudo funciona" in await site.page("/", accept_language="pt-BR,pt;q=0.9,en;q=0.8")
    page = await site.page("/?lang=pt", accept_language="en")
    assert "Tudo funciona" in page
    assert 'href="/?lang=pt"' in page


async def test_health_check(make_site: Make) -> None:
    """200 ok, or 503 with the reasons; what merely needs attention is healthy."""
    healthy = await make_site(**BUSY | {"certificate": CertificateStatus("x", "y", 0)}).get("/healthz")
    assert (200, b"ok\n") == (healthy.status, healthy.body)
    ill = await make_site(**BUSY | {"disks": [disk(5)], "oldest_due_at_s": NOW_S - 5_000}).get("/healthz")
    assert (503, b"disk full: free 5\nqueue stuck: since 1699995000\n") == (ill.status, ill.body)


async def test_metrics(make_site: Make) -> None:
    """The state stands beside the counters, in the text format's own content type."""
    response = await make_site(**BUSY).get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == response.content_type
    lines = response.body.decode().splitlines()
    for expected in (
        'carteiro_info{version="0.1.0"} 1',
        "carteiro_healthy 1",
        'carteiro_queue_messages{state="deferred"} 2',
        "carteiro_queue_oldest_seconds 7200",
        "carteiro_queue_overdue_seconds 0",
        'carteiro_disk_free_bytes{directory="/var/lib/carteiro"} 20000000000',
        'carteiro_disk_size_bytes{directory="/srv/mail"} 64000000000',
        "carteiro_certificate_expiry_seconds 1707776000",
    ):
        assert expected in lines


async def test_static_files(make_site: Make) -> None:
    """Style and icon come with their types and an ETag."""
    site = make_site()
    style = await site.get("/static/style.css")
    assert (200, "text/css; charset=utf-8") == (style.status, style.content_type)
    assert 304 == (await site.get("/static/style.css", if_none_match=style.headers["etag"])).status
    assert "image/svg+xml" == (await site.get("/static/icon.svg")).content_type
    assert 404 == (await site.get("/static/base.html")).status


@pytest.mark.parametrize("path", ["/message/7-1", "/raw/7-1.eml", "/x"])
async def test_unknown_pages(make_site: Make, path: str) -> None:
    """What is not there is 404; no mail is shown."""
    assert 404 == (await make_site().get(path)).status


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "11,000 of 12,345 messages 12 s ago, 20 MB · at its limit"),
        ("/?lang=pt", "11.000 de 12.345 mensagens há 12 s, 20 MB · no limite"),
    ],
)
async def test_the_text_index_says_when_it_looked(make_site: Make, path: str, words: str) -> None:
    """What came since then is not in the figures."""
    assert words in (await make_site(**BUSY).page(path)).replace("\xa0", " ")
