"""Nasty messages, made from a seed: every way of breaking MIME that mail programs and attackers have found.

Each is reproducible from its number alone, so a difference that was seen once is seen again.
"""

import random
from collections.abc import Callable

__all__ = ["make_message"]

_BOUNDARIES = ["b", "bb", "=_x", "a b", "--", "b--", "x" * 70, "x" * 71, "0", "B", "'()+_,-./:=?", "a;b", 'q"t', "ü"]
_TYPES = [
    "text/plain", "TEXT/HTML", "text/plain; charset=utf-8", 'text/plain; charset="iso-8859-1"; format=flowed', "image/png", "application/octet-stream",
    "application/pdf; name=x.pdf", 'application/pdf; name="a b.pdf"', "application/pdf; name*=utf-8''%C3%A1.pdf",
    "application/pdf; name*0=abc; name*1=def.pdf", "application/pdf; name*0*=utf-8''%C3%A1; name*1=b; name*2*=%20c",
    "application/pdf; name*1=b; name*0=a", "application/x; a=1; a=2", "text", "text/", "/plain", "text / plain", "text/plain (a comment)",
    "text/plain; (c) charset=x", "text/plain;", "text/plain; charset", "text/plain; charset=", 'text/plain; charset=""', "text/plain; =x",
    'text/plain; charset="unclosed', "text/plain charset=us-ascii", "text/plain; charset=a b", "text/plain;charset=utf-8;;x=y", "garbage", "", ";", '"text"/plain',
    "text/plain; name=\"back\\\\slash\"", "text/plain; name=a@b", "text/plain; name=[x]", "message/delivery-status", "message/external-body; access-type=x",
    "message/partial; id=x; number=1", "text/x-ü", "TEXT/PLAIN; CHARSET=US-ASCII; NAME=X", "application/x;\r\n\tfoo=bar", "x-a/x-b; c=\"d\r\n e\"",
    "text/plain; charset=utf-8 (c)", "text/plain, text/html", "text/plain; a=b, c", "multipart", "multipart/", "application/x; n=\"\\\"\"", "application/x; n=\"a\tb\"",
]  # fmt: skip
_ENCODINGS = [
    "7bit",
    "8BIT",
    "base64",
    "quoted-printable",
    "x-uuencode",
    "binary",
    "",
    "base64 (c)",
    " base64 ; x",
    '"base64"',
    "base 64",
    "7 bit",
    "(c) 8bit",
    "bäse64",
]
_DISPOSITIONS = [
    "inline", "attachment", "attachment; filename=x", 'attachment; filename="a b"; size=3', "ATTACHMENT; FileName*=utf-8''%20", '"attachment"', "", ";filename=x",
    "attachment filename=x", "(c) inline", "attachment; filename*0=a; filename*1=b", "form-data; name=x", "attachment; filename=a b", "in/line", "attachment;filename=",
]  # fmt: skip
_LANGUAGES = ["en", "en, pt", "en,,de", "", "de (German)", "a b", ",", "en-GB;q=1", '"fr"', "fr ,\r\n it"]
_LOCATIONS = ["http://x/", "a b", "", '"x"', "http://x/\r\n y", "(c) z", "x\ty"]
_IDS = ["<a@b>", "a", "", "<a@b> <c@d>", "(c) <x@y>", "<a b>", "\t<x>"]
_MD5S = ["Q2hlY2sgSW50ZWdyaXR5IQ==", "", "a b", "(c)"]
_ADDRESSES = [
    "a@b", "<a@b>", "Ana <a@b>", '"Ana, B" <a@b>', "a@b (Ana)", "a (c) @ b", "undisclosed-recipients:;", "g: a@b, c@d;", "g: a@b", "a", "Ana", "a@", "@b", "<>", "", ",", "a@b,",
    ",a@b", "a@b,,c@d", "a@b c@d", "a@b; c@d", "<@x,@y:a@b>", "<@x:a@b>", '"q q"@b', '"a\\"b"@c', "a@[1.2.3.4]", "a.b.c@d.e", "a..b@c", ".a@b", "a.@b", "Mr. X <a@b>", "A B C <a@b>",
    "=?utf-8?q?=C3=A1?= <a@b>", "Ána <a@b>", '"" <a@b>', "<a@b", "a@b>", "Ana <a@b> x", "(c)", "(c) a@b", "a@b (c) (d)", 'x "y" z <a@b>', "g:;,a@b", "g: h: a@b;;", "a@b\r\n\t, c@d",
    "Ana <a@b> (c)", "a @ b", "a@b.", "<a@b>, <c@d>", "a@@b", "a@b@c", "a:b", ";", ":", "<", ">", '"', "\\", "[", "Ana <<a@b>>", "Ana\\, B <a@b>", "a@b(c", '"unclosed <a@b>', "Ana <a>", "a b@c",
    "g : a@b ;", '"g": a@b;', "g h: a@b;", "A. B. <a@b>", "A.B <a@b>", "a@b .c", "a . b@c", "a@b . c", "<a@b>,", "a%b@c", "a!b", "  a@b  ",
]  # fmt: skip
_SUBJECTS = [
    "Hello",
    "",
    "=?utf-8?q?Ol=C3=A1?=",
    "a\r\n b",
    "a\r\n\tb",
    "a\r\n \r\n b",
    'with "quotes"',
    "back\\slash",
    "tab\there",
    "   lead",
    "trail   ",
    "x" * 998,
    "ü raw",
    "\x80\xff",
    "a\rb",
    "ctl\x01",
]
_DATES = ["Mon, 2 Jan 2006 15:04:05 -0700 (MST)", "", "garbage", "2 Jan 06 15:04 GMT", "Mon,\r\n 2 Jan 2006 15:04:05 +0000"]
_IDENTS = ["<1@x>", "", "a", "<1@x> <2@y>", "<a\r\n b>", "(c) <x@y>"]
_BODIES = [
    "",
    "\r\n",
    "text",
    "text\r\n",
    "a\r\nb\r\n",
    "\r\n\r\nx\r\n",
    "From here\r\n",
    "--\r\n",
    "-- \r\nsig\r\n",
    "--b\r\n",
    "--b--\r\n",
    "long " * 300 + "\r\n",
    ".\r\n",
    "\xe1\xe9\r\n",
    "a\rb\r\n",
    "\tx\r\n",
    "x: y\r\n\r\nz\r\n",
]
_NAMES = ["{}", "{}", "{}", "{}", "{}", "{} ", "{}\t", "lower", "upper"]


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rnd = random.Random(seed)
        self.budget = self.rnd.choice((3, 6, 12, 25))

    def name(self, name: str) -> str:
        form = self.rnd.choice(_NAMES)
        return {"lower": name.lower(), "upper": name.upper()}.get(form, form.format(name))

    def field(self, name: str, values: list[str], chance: float) -> list[str]:
        rnd = self.rnd
        if rnd.random() > chance:
            return []
        gap = rnd.choice((" ", " ", " ", "", "  ", "\t", "\r\n "))
        lines = [f"{self.name(name)}:{gap}{rnd.choice(values)}"]
        if rnd.random() < 0.04:  # a second one
            lines.append(f"{name}: {rnd.choice(values)}")
        return lines

    def message_fields(self) -> list[str]:
        fields: list[str] = []
        for name in ("From", "Sender", "Reply-To", "To", "Cc", "Bcc"):
            fields += self.field(name, _ADDRESSES if self.rnd.random() < 0.7 else [self.several()], 0.9 if name in {"From", "To"} else 0.25)
        fields += self.field("Subject", _SUBJECTS, 0.8)
        fields += self.field("Date", _DATES, 0.8)
        fields += self.field("Message-ID", _IDENTS, 0.7)
        fields += self.field("In-Reply-To", _IDENTS, 0.3)
        fields += self.field("X-Other", _SUBJECTS, 0.3)
        return fields

    def several(self) -> str:
        return self.rnd.choice((", ", ",", " , ", ",\r\n ")).join(self.rnd.choices(_ADDRESSES, k=self.rnd.randrange(2, 5)))

    def content_fields(self, kind: str) -> list[str]:
        fields = [f"{self.name('Content-Type')}: {kind}"] if kind != "-" else []
        fields += self.field("Content-Transfer-Encoding", _ENCODINGS, 0.3)
        fields += self.field("Content-Disposition", _DISPOSITIONS, 0.25)
        fields += self.field("Content-ID", _IDS, 0.15)
        fields += self.field("Content-Description", _SUBJECTS, 0.15)
        fields += self.field("Content-Language", _LANGUAGES, 0.12)
        fields += self.field("Content-Location", _LOCATIONS, 0.12)
        fields += self.field("Content-MD5", _MD5S, 0.1)
        return fields

    def entity(self, depth: int, *, is_message: bool, open_boundaries: tuple[str, ...] = ()) -> str:
        rnd = self.rnd
        self.budget -= 1
        draw = rnd.random()
        if self.budget > 0 and depth < 12 and draw < (0.6 if depth < 3 else 0.35):
            kind, body = self.multipart(depth, open_boundaries) if rnd.random() < 0.75 else self.nested(depth, open_boundaries)
        else:
            kind = rnd.choice([*_TYPES, "-", "-", "-"])
            body = "".join(rnd.choices(_BODIES, k=rnd.choice((0, 1, 1, 1, 2, 3))))
        fields = self.content_fields(kind)
        if is_message:
            fields += self.message_fields()
            if rnd.random() < 0.7:
                fields.append("MIME-Version: 1.0")
        rnd.shuffle(fields)
        if rnd.random() < 0.04:
            fields.insert(
                rnd.randrange(len(fields) + 1), rnd.choice(("no colon here", " folded at once", ": empty name", "-", "--", "Sub ject: x"))
            )
        header = "".join(field + "\r\n" for field in fields)
        gap = "" if rnd.random() < 0.03 else "\r\n"  # without its empty line
        return header + gap + body

    def nested(self, depth: int, open_boundaries: tuple[str, ...]) -> tuple[str, str]:
        kind = self.rnd.choice(("message/rfc822", "message/rfc822", "Message/RFC822; name=x", "message/global"))
        return kind, self.entity(depth + 1, is_message=True, open_boundaries=open_boundaries)

    def multipart(self, depth: int, open_boundaries: tuple[str, ...]) -> tuple[str, str]:
        rnd = self.rnd
        boundary = rnd.choice(open_boundaries) if open_boundaries and rnd.random() < 0.1 else rnd.choice(_BOUNDARIES)
        subtype = rnd.choice(("mixed", "mixed", "alternative", "digest", "related", "report", "signed", "x-other", "DIGEST"))
        quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
        said = rnd.choice(
            (f'boundary="{quoted}"', f'boundary="{quoted}"', f"boundary={boundary}", f'charset=x; boundary="{quoted}"; type="a/b"')
        )
        kind = f"multipart/{subtype}" if rnd.random() < 0.04 else f"multipart/{subtype}; {said}"
        pieces = [rnd.choice(("", "", "preamble\r\n", "pre", "\r\n"))]
        for _ in range(rnd.choice((0, 1, 1, 2, 2, 3, 4))):
            pieces.append(f"--{boundary}{rnd.choice(('', '', '', '', ' ', chr(9), 'x', ' x'))}\r\n")
            pieces.append(self.entity(depth + 1, is_message=False, open_boundaries=(*open_boundaries, boundary)))
            pieces.append(rnd.choice(("\r\n", "\r\n", "\r\n", "\r\n\r\n", "")))
        if rnd.random() < 0.85:
            pieces.append(f"--{boundary}--{rnd.choice(('', '', '', ' ', 'x', '-'))}" + rnd.choice(("\r\n", "\r\n", "")))
            pieces.append(rnd.choice(("", "", "epilogue\r\n", "\r\n", f"--{boundary}\r\n\r\nlate\r\n")))
        return kind, "".join(pieces)

    def damage(self, data: bytes) -> bytes:
        """Hurt the whole in a few places."""
        rnd = self.rnd
        hurts: tuple[Callable[[bytes, int], bytes], ...] = (
            lambda text, at: text[:at],
            lambda text, at: text[:at] + text[at + rnd.randrange(1, 20) :],
            lambda text, at: (
                text[:at] + rnd.choice((b"\r\n", b"\r\n\r\n", b"--", b"\xff", b"\r\n--b\r\n", b" ", b":", b'"', b"(", b";")) + text[at:]
            ),
            lambda text, at: text[:at] + text[max(0, at - 30) : at] + text[at:],
        )
        for _ in range(rnd.choice((1, 1, 2, 4))):
            data = rnd.choice(hurts)(data, rnd.randrange(len(data) + 1))
        return data


def make_message(seed: int) -> bytes:
    """Return the message of that number, with CRLF line ends and without NUL; every fourth is damaged as a whole."""
    maker = _Maker(seed)
    data = maker.entity(0, is_message=True).encode("utf-8" if seed % 2 else "latin-1", "replace")
    if seed % 4 == 3:
        data = maker.damage(data)
    return b"\r\n".join(line.removesuffix(b"\r") for line in data.split(b"\n")).replace(b"\0", b"") or b"\r\n"
