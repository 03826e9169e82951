"""The support of a message's HTML by mail programs."""

import json
from importlib.resources import files
from typing import Any

import pytest

from appliance.policy.html_check import HtmlCheck

TABLE = json.loads(files("appliance.services.catcher").joinpath("caniemail.json").read_bytes())


@pytest.fixture(scope="module")
def check() -> Any:
    return HtmlCheck(TABLE)


@pytest.mark.parametrize(
    ("html", "slug", "count"),
    [
        ('<p style="background:#fff">x</p>', "css-background", 1),
        ('<p style="background-color:#fff">x</p>', "css-background", 0),
        ('<div style="display:grid;gap:8px">x</div>', "css-display-grid", 1),
        ("<style>@media (max-width: 1px){p{color:red}} a:hover{}</style>", "css-at-media", 1),
        ("<style>a:hover{}</style>", "css-pseudo-class-hover", 1),
        ('<p style="width:50%">x</p>', "css-unit-percent", 1),
        ("<video></video>", "html-video", 1),
        ("<h1>a</h1><h3>b</h3>", "html-h1-h6", 2),
        ('<a href="#x">y</a>', "html-anchor-links", 1),
        ('<input type="checkbox">', "html-input-checkbox", 1),
        ('<td valign="top">', "html-valign", 1),
    ],
)
def test_features_are_recognised(check: Any, html: str, slug: str, count: int) -> None:
    """Elements, attributes, properties, values, units and rules."""
    found = {warning["Slug"]: warning["Score"]["Found"] for warning in check.run(html)["Warnings"]}
    assert count == found.get(slug, 0)


def test_the_result_has_the_shape_that_clients_read(check: Any) -> None:
    """Platforms, totals that add up to a hundred, results of each version."""
    result = check.run('<html><body><p style="position:sticky">x</p></body></html>')
    total = result["Total"]
    assert 100 == pytest.approx(total["Supported"] + total["Partial"] + total["Unsupported"], abs=0.01)
    warning = result["Warnings"][0]
    assert {"Name", "Platform", "Family", "Version", "Support", "NoteNumber"} == warning["Results"][0].keys()
    assert "Gmail" in result["Platforms"]["android"]
    assert 100 == pytest.approx(sum(value for key, value in warning["Score"].items() if key != "Found"), abs=0.01)
