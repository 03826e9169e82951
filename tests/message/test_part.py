"""Parts."""

from appliance.message.part import Part


def test_a_part_knows_its_size_and_parameters() -> None:
    """Size from offsets; a parameter as it stands."""
    part = Part(0, 10, 25, parameters=((b"charset", b"utf-8"),))
    assert (15, b"utf-8", None, False) == (part.size, part.parameter(b"charset"), part.parameter(b"x"), part.is_multipart)
