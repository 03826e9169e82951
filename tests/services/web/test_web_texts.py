"""Both languages say the same, figures are written right, bars are drawn right."""

import re
import string
from pathlib import Path
from typing import Any

import pytest

from appliance.observe.recent import BUCKET_S, Bucket
from appliance.services.web import texts
from appliance.services.web.chart import HEIGHT, WIDTH, make_chart
from appliance.services.web.status import Status, problems
from appliance.services.web.texts import TEXTS, Words, choose_language


def test_languages_have_the_same_keys_and_placeholders() -> None:
    """No text is missing in either language, and none asks for a value the other does not."""
    english, portuguese = TEXTS["en"], TEXTS["pt"]
    assert set(english) == set(portuguese)
    for key, text in english.items():
        wanted = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        given = {name for _, name, _, _ in string.Formatter().parse(portuguese[key]) if name}
        assert wanted == given, key


def test_templates_use_known_texts() -> None:
    """Every text that a template names by a constant exists."""
    folder = Path(texts.__file__).parent
    used = {key for path in folder.glob("*.html") for key in re.findall(r"""\bt\(["']([a-z_]+)["']""", path.read_text())}
    counted = {key for path in folder.glob("*.html") for key in re.findall(r"""t\.count\(["']([a-z_]+)["']""", path.read_text())}
    assert set() == used - TEXTS["en"].keys()
    assert set() == {f"{key}.{form}" for key in counted for form in ("one", "other")} - TEXTS["en"].keys()
    assert len(used) > 30


def test_every_problem_has_its_words() -> None:
    """Problems come with a text and a fix in both languages."""
    from appliance.services.web.status import CertificateStatus, DiskStatus

    base: dict[str, Any] = {"now_s": 1e9, "started_at_s": 0.0, "version": "", "hostname": ""}
    states = [
        Status(
            **base,
            disks=[DiskStatus("/a", 1, 100, 2), DiskStatus("/b", 1, 100, 2, holds_queue=False)],
            oldest_due_at_s=1.0,
            queue={"corrupt": 1},
        ),
        Status(**base, disks=[DiskStatus("/a", 3, 100, 2)], certificate=CertificateStatus("", "", 1e9 + 5)),
        Status(**base, certificate=CertificateStatus("", "", 1e9 - 5)),
    ]
    keys = {problem.key for state in states for problem in problems(state)}
    assert {"disk_full", "mail_disk_full", "queue_stuck", "queue_corrupt", "disk_low", "certificate_expires", "certificate_expired"} == keys
    for key in keys:
        assert f"problem.{key}" in TEXTS["en"]
        assert f"problem.{key}.fix" in TEXTS["en"]


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        ("pt", "en", "pt"),
        ("xx", "pt-BR", "pt"),
        ("", "de, fr;q=0.9, pt;q=0.5, en;q=0.4", "pt"),
        ("", "pt;q=0, en;q=0.1", "en"),
        ("", "*", "en"),
        ("", "", "en"),
        ("", "pt;q=9" + ",x" * 10_000, "en"),
    ],
)
def test_language_choice(asked: str, accepted: str, expected: str) -> None:
    """The query, then the browser's order of preference, then the default."""
    assert expected == choose_language(asked, accepted, "en")


def test_figures() -> None:
    """Sizes, numbers and spans as people of each language write them."""
    english, portuguese = Words("en"), Words("pt")
    assert ("999\u00a0B", "1.2\u00a0kB", "12\u00a0kB", "3.0\u00a0TB") == tuple(english.size(size) for size in (999, 1_234, 12_345, 3e12))
    assert "1,2\u00a0kB" == portuguese.size(1_234)
    assert ("12,345", "12.345") == (english.number(12_345), portuguese.number(12_345))
    spans = (5, 65, 3_600, 3_900, 90_000, 86_400 * 2, 86_400 * 400)
    expected = ("5\u00a0s", "1\u00a0min", "1\u00a0h", "1\u00a0h 5\u00a0min", "1 day 1\u00a0h", "2 days", "400 days")
    assert expected == tuple(english.duration(span) for span in spans)
    assert "1 dia" == portuguese.duration(86_400)


def test_chart_bars() -> None:
    """Quarters of a clock hour make one bar, stacked from the ground, within the chart."""
    buckets = [Bucket(3_600 * 10 + place * BUCKET_S, delivered=place, bounced=1 if place == 5 else 0) for place in range(8)]
    chart = make_chart(buckets)
    assert [36_000, 39_600] == [hour.start_s for hour in chart.hours]
    assert {"delivered": 28, "deferred": 0, "bounced": 1, "refused": 0} == chart.totals
    assert 50 == chart.top
    assert (39_600, 23) == (chart.busiest.start_s, chart.busiest.total)
    for segment in chart.segments:
        assert 0 <= segment.x
        assert segment.x + segment.width <= WIDTH
        assert 0 <= segment.y <= segment.y + segment.height <= HEIGHT + 0.2
    assert 0 == make_chart([]).total
