"""Text in headers: encoded words, encoded parameters, and charsets as mail names them.

Owns RFC 2047 both ways, the text of RFC 2231 parameters, and the decoding of octets
in any charset a message claims. A charset that is unknown, or wrong, falls back
to UTF-8 and then to Windows-1252. Only names from Python's own alias table are
looked up: the codec registry would remember every name a stranger invents, and
punycode is quadratic.

Fails: never; octets that fit nowhere become U+FFFD.

Sources: RFC 2047, RFC 2231 (also section 5, language in encoded words), RFC 6532;
the WHATWG encoding standard for the charsets that stand for their supersets.
"""

import binascii
import re
from encodings.aliases import aliases
from urllib.parse import quote

from appliance.message.parameter import Parameters, decode_parameter

__all__ = [
    "codec_name",
    "decode_bytes",
    "decode_header",
    "decode_parameter_text",
    "encode_parameter",
    "encode_phrase",
    "encode_unstructured",
]

MAX_HEADER_TEXT = 262_144  # octets of one field that are decoded
_MAX_WORD = 75  # RFC 2047 section 2

_ENCODED_WORD = re.compile(rb"=\?([^?\s*]{1,40}+)(?:\*[^?\s]{0,40}+)?\?([bBqQ])\?([^?]*+)\?=")
_QUOTED_OCTET = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_IS_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*").fullmatch
_IS_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")

_SUPERSETS = {
    "iso_8859_1": "cp1252",
    "latin_1": "cp1252",
    "latin1": "cp1252",
    "gb2312": "gb18030",
    "gb_2312_80": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_9": "cp1254",
    "tis_620": "cp874",
    "iso_8859_11": "cp874",
    "windows_874": "cp874",
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "x_mac_roman": "mac_roman",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
}
_CODECS = frozenset(aliases.values()) | {"utf_8_sig", "cp874", "cp1006", "cp856", "cp875", "koi8_t", "koi8_u"}
_UNSAFE = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
)  # no charsets, or of one operating system
_ASCII = frozenset({"ascii", ""})
_NOT_NAME = re.compile(r"[^a-z0-9]+")


def codec_name(charset: str) -> str:
    """Return the Python codec for a charset name, ``""`` when there is none that may be used."""
    name = _NOT_NAME.sub("_", charset.lower()).strip("_")[:40]
    if name in _SUPERSETS:
        return _SUPERSETS[name]
    codec = aliases.get(name) or (name if name in _CODECS else aliases.get(name.replace("_", ""), ""))
    codec = _SUPERSETS.get(codec, codec)
    return "" if codec in _UNSAFE else codec


def decode_bytes(data: bytes, charset: str = "") -> str:
    """Decode octets said to be in ``charset``."""
    is_plain = data.isascii() and b"\x1b" not in data
    if is_plain and not (charset and charset.lower().startswith(("utf-7", "utf-16", "utf-32", "unicode", "hz", "cp037"))):
        return data.decode("ascii")
    codec = codec_name(charset)
    if codec not in _ASCII:
        try:
            return data.decode(codec, "strict" if codec == "utf_8" else "replace")
        except (UnicodeError, LookupError):
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8" if codec == "utf_8" else "cp1252", "replace")


def decode_header(value: bytes) -> str:
    """Return the text of an unfolded field value, encoded words decoded.

    Words next to each other in one charset are joined before decoding: many
    programs cut characters in two, against RFC 2047 section 5.
    """
    value = value[:MAX_HEADER_TEXT]
    if b"=?" not in value:
        return decode_bytes(value)
    pieces: list[str] = []
    pending = b""
    charset = ""
    position = 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[position : word.start()]
        position = word.end()
        adjacent = bool(pending) and not between.strip()
        name = word.group(1).decode("ascii", "replace").lower()
        octets = _decode_word(word.group(2), word.group(3))
        if adjacent and name == charset:
            pending += octets
            continue
        pieces.append(decode_bytes(pending, charset))
        if not adjacent:
            pieces.append(decode_bytes(between))
        pending, charset = octets, name
    pieces.append(decode_bytes(pending, charset))
    pieces.append(decode_bytes(value[position:]))
    return "".join(pieces)


def _decode_word(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return _QUOTED_OCTET.sub(lambda octet: bytes((int(octet.group(1), 16),)), text.replace(b"_", b" "))
    return decode_base64(text)


def decode_base64(text: bytes) -> bytes:
    """Decode what is base64 in ``text``; a broken end loses at most its last octets."""
    text = _NOT_BASE64.sub(b"", text)
    missing = -len(text) % 4
    if missing == 3:
        text = text[:-1]
        missing = 0
    return binascii.a2b_base64(text + b"=" * missing)


def decode_parameter_text(parameters: Parameters, name: bytes) -> str | None:
    """Return a parameter as text, whichever way it was encoded (RFC 2231, or RFC 2047 against the rules)."""
    found = decode_parameter(parameters, name)
    if found is None:
        return None
    charset, octets = found
    return decode_bytes(octets, charset.decode("ascii", "replace")) if charset else decode_header(octets)


def encode_unstructured(text: str) -> bytes:
    """Return text for Subject and its like; what is not printable ASCII becomes encoded words, folded."""
    text = _CONTROL.sub(" ", text).strip()
    if text.isascii() and "=?" not in text:
        return text.encode("ascii")
    return b"\r\n ".join(_encoded_words(text))


def encode_phrase(name: str) -> bytes:
    """Return a display name: atoms, a quoted string, or encoded words."""
    name = _CONTROL.sub(" ", name).strip()
    if name.isascii() and "=?" not in name:
        if not name or _IS_ATOMS(name):
            return name.encode("ascii")
        return b'"' + name.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'
    return b"\r\n ".join(_encoded_words(name))


def _encoded_words(text: str) -> list[bytes]:
    data = text.encode("utf-8", "replace")
    # Q as long as a person could still read it.
    use_q = 2 * sum(octet not in _Q_SAFE and octet != 0x20 for octet in data) <= len(data)
    room = _MAX_WORD - len("=?utf-8?q??=")
    # Octets per word so that no word can exceed its room, cut between characters.
    size = room // 4 * 3
    words: list[bytes] = []
    piece: list[str] = []
    used = 0
    for character in text:
        octets = character.encode("utf-8", "replace")
        cost = sum(1 if octet in _Q_SAFE or octet == 0x20 else 3 for octet in octets) if use_q else len(octets)
        if used + cost > (room if use_q else size):
            words.append(_encoded_word("".join(piece), use_q=use_q))
            piece, used = [], 0
        piece.append(character)
        used += cost
    words.append(_encoded_word("".join(piece), use_q=use_q))
    return words


def _encoded_word(text: str, *, use_q: bool) -> bytes:
    data = text.encode("utf-8", "replace")
    if use_q:
        encoded = "".join([chr(octet) if octet in _Q_SAFE else "_" if octet == 0x20 else f"={octet:02X}" for octet in data])
        return b"=?utf-8?q?" + encoded.encode("ascii") + b"?="
    return b"=?utf-8?b?" + binascii.b2a_base64(data, newline=False) + b"?="


def encode_parameter(name: str, value: str) -> bytes:
    """Return ``name=value`` for a Content-* field: token, quoted string or RFC 2231, continued where it is long."""
    value = _CONTROL.sub(" ", value)
    if value.isascii() and len(value) <= 60:
        if _IS_TOKEN(value):
            return f"{name}={value}".encode("ascii")
        return f'{name}="'.encode("ascii") + value.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'
    encoded = "utf-8''" + quote(value, safe="!#$&+-.^_`{|}~", errors="replace")
    pieces: list[str] = []
    while encoded:
        cut = min(50, len(encoded))
        if cut < len(encoded):
            cut -= next((back for back in (1, 2) if encoded[cut - back] == "%"), 0)
        pieces.append(encoded[:cut])
        encoded = encoded[cut:]
    if len(pieces) == 1:
        return f"{name}*={pieces[0]}".encode("ascii")
    lines = [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]
    return ";\r\n ".join(lines).encode("ascii")
