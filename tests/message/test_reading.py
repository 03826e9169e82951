"""A message taken apart as a developer looks at it."""

from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from appliance.message.reading import clean_tag, index_message, read_message
from appliance.model.caught import CaughtEnvelope

ENVELOPE = CaughtEnvelope(recipients=("a@b.test",))


def rich() -> bytes:
    message = EmailMessage()
    message["From"] = "Loja Verde <news@loja.test>"
    message["Subject"] = "Até 40%"
    message.set_content("Veja: https://loja.test/n/12")
    message.add_alternative("<p>Ofertas <img src='cid:pic@x'></p><p>Veja</p>", subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<pic@x>")  # type: ignore[index, union-attr]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="catálogo.pdf")
    return message.as_bytes().replace(b"\n", b"\r\n")


def test_parts_have_the_numbers_that_clients_know() -> None:
    """Text and HTML are told from what is shown inside and what is attached."""
    reading = read_message(rich())
    assert [("1.2.2", "pic@x", False), ("2", "catálogo.pdf", True)] == [
        (leaf.part_id, leaf.name, leaf.is_attached) for leaf in reading.leaves
    ]
    assert "Veja: https://loja.test/n/12\r\n" == reading.text()
    assert reading.html().startswith("<p>Ofertas")
    found = reading.leaf("2")
    assert found is not None
    assert b"%PDF" == reading.content(found.part)


def test_a_message_of_one_part_is_part_zero() -> None:
    """An attachment alone is the message."""
    reading = read_message(b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF")
    assert ["0"] == [leaf.part_id for leaf in reading.leaves]


def test_html_alone_gives_the_text() -> None:
    """Who asks for text gets what the HTML says."""
    assert "One\nTwo" == read_message(b"Content-Type: text/html\r\n\r\n<p>One</p><p>Two</p>").text()


def test_blind_copies_are_who_no_field_names() -> None:
    """The envelope tells them."""
    envelope = CaughtEnvelope(recipients=("A@b.test", "hidden@b.test"))
    indexed = index_message(b"To: a@b.test\r\n\r\n", envelope)
    assert ["hidden@b.test"] == [person.address for person in indexed.bcc]


def test_a_long_text_is_cut_between_words() -> None:
    """The snippet has 200 octets at most, and three dots."""
    indexed = index_message(b"\r\n" + b"word " * 100, ENVELOPE)
    assert indexed.snippet.endswith("word...")
    assert len(indexed.snippet) <= 203


def test_tags_are_cleaned() -> None:
    """What no tag may have is left out."""
    assert ["One tag", "bd"] == [clean_tag(" One   tag "), clean_tag("b<d!*")]


@given(st.binary(max_size=2_000))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """Nothing fails, whatever was sent."""
    reading = read_message(data)
    reading.text()
    index_message(data, ENVELOPE)
