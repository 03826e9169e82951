"""What HTML lacks for people who hear or enlarge it."""

from appliance.policy.html_care import RULES, care_faults


def test_each_rule_is_found() -> None:
    """One document breaks them all."""
    html = (
        '<table><tr><td><img src="a"><img src="b"></td></tr></table><h1>A</h1><h3>B</h3><a href="/x"></a><a href="/y">Click here</a>'
        '<p style="font-size: 9px">s</p><p style="font-size:7pt">s</p>'
    )
    faults = care_faults(html)
    assert set(RULES) - {"picture-only"} == set(faults) - {"picture-only"}
    assert (2, 2) == (faults["alt"], faults["small-text"])
    assert "picture-only" in care_faults('<img src="a" alt="x">')


def test_good_html_has_no_fault() -> None:
    """Pictures in links count by their words; hidden preview text may be of one pixel."""
    html = (
        '<html lang="en"><head><title>Order</title><style>p { font-size: 16px }</style></head><body><div style="font-size:1px">hidden</div>'
        '<table role="presentation"><tr><td><h1>Your order</h1><h2>Left today</h2><a href="/"><img src="l" alt="The shop"></a>'
        '<a href="/o">Follow your order 12 on its way</a></td></tr></table></body></html>'
    )
    assert {} == care_faults(html)
    assert {"lang": 1, "title": 1} == care_faults("")
