"""Forms as browsers send them."""

from appliance.net.http_messages import Request
from appliance.services.catcher.forms import File, Form, read_form

BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="to"\r\n\r\nana@app.test\r\n--XX\r\nContent-Disposition: form-data; name="to"\r\n\r\n\xc3\xa9\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a %22b%22.eml"\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--X\r\n\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--XX--\r\n'
)


def posted(body: bytes, kind: str) -> Form:
    return read_form(Request("POST", "/", {}, [("content-type", kind)], body))


def test_fields_and_files_byte_for_byte() -> None:
    """A file keeps its bytes, what looks like the boundary among them; a field that chose no file has none."""
    form = posted(BODY, "multipart/form-data; boundary=XX")
    assert ["ana@app.test", "é"] == form.all("to")
    assert (File('a "b".eml', "message/rfc822", b"Subject: x\r\n\r\n--X\r\n"),) == form.files


def test_fields_that_are_ticked_more_than_once() -> None:
    """All of them are there, the last one is the one."""
    form = posted(b"id=1&id=2&action=read&empty=", "application/x-www-form-urlencoded")
    assert (["1", "2"], "read", "", "") == (form.all("id"), form.get("action"), form.get("empty"), form.get("missing"))


def test_what_is_no_form_has_no_fields() -> None:
    """Whatever is sent instead."""
    for kind in ("", "text/plain", "multipart/form-data", 'multipart/form-data; boundary=""', "multipart/mixed; boundary=XX"):
        assert Form() == posted(BODY, kind)
    assert Form() == posted(b"a=1&" * 6_000, "application/x-www-form-urlencoded")
    assert Form() == posted(b"--XX\r\nno header", "multipart/form-data; boundary=XX")
