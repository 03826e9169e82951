"""Templates and static files of a package."""

import pytest

from appliance.net.http_messages import Request
from appliance.net.templates import Templates, read_file, static_files

PACKAGE = "appliance.services.web"


def test_templates_escape_and_miss_nothing() -> None:
    """What a page says of others is text; a word that is missing is an error, not a gap."""
    templates = Templates("appliance.services.catcher")
    with pytest.raises(Exception, match="undefined"):
        templates.render("list.html", {})


def test_static_files_have_their_types() -> None:
    """By the path that pages name."""
    files = static_files(PACKAGE, {"icon.svg": "image/svg+xml"}, "/s/")
    response = files["/s/icon.svg"].respond(Request("GET", "/s/icon.svg"))
    assert ("image/svg+xml", read_file(PACKAGE, "icon.svg")) == (response.content_type, response.body)
