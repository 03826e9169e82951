"""Our keys as they are needed to sign: loaded when their files change, found by domain; and the hash of what is signed.

Fails: KeysUnusableError when there are keys and they cannot be read.
Blocks: disk and processor; in a thread.
Sources: RFC 6376 section 5.2 (choosing a key), OpenDKIM's KeyTable.
"""

from collections.abc import Callable
from typing import Final

from appliance.message.header import HeaderSection, body_offset
from appliance.model.content import Content
from appliance.model.errors import ApplianceError
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.dkim_sign import DkimSigner
from appliance.storage.dkim_keys import DkimKeys

__all__ = ["KeysUnusableError", "Signers", "hash_message"]

HEADER_BYTES: Final = 1_048_576
CHUNK_BYTES: Final = 262_144
LOOK_S: Final = 10.0


class KeysUnusableError(Exception):
    """There are keys, and they cannot be used; the text says why."""


class Signers:
    """The keys in use, by domain."""

    def __init__(self, keys: DkimKeys) -> None:
        self._keys = keys
        self._signers: dict[str, tuple[DkimSigner, ...]] = {}
        self._marks: tuple[tuple[str, int], ...] = ()
        self._looked_at_s = float("-inf")

    def is_known_empty(self, now_s: float) -> bool:
        """Tell without a look at the disk that there was no key a moment ago. Units: ``now_s`` monotonic."""
        return not self._signers and now_s < self._looked_at_s + LOOK_S

    def look(self, now_s: float) -> bool:
        """Load the keys when their files have changed; tell whether there are any. Raises KeysUnusableError."""
        if now_s >= self._looked_at_s + LOOK_S:
            marks = self._keys.marks()
            if marks != self._marks:
                try:
                    self._signers = {domain: self._load(domain) for domain, _mark in marks}
                except ApplianceError as error:
                    raise KeysUnusableError(error.detail or error.client_text) from error
                self._marks = marks
            self._looked_at_s = now_s
        return bool(self._signers)

    def of(self, domain: str) -> tuple[DkimSigner, ...]:
        """Return the keys of a domain or of the nearest one above it; DMARC's relaxed alignment takes that as well."""
        while domain:
            if domain in self._signers:
                return self._signers[domain]
            domain = domain.partition(".")[2]
        return ()

    def _load(self, domain: str) -> tuple[DkimSigner, ...]:
        current = self._keys.load(domain).current
        return tuple(DkimSigner(domain, key.selector, f"{key.kind}-sha256", key.sign) for key in self._keys.private_keys(domain, current))


def hash_message(content: Content, is_wanted: Callable[[HeaderSection], bool]) -> tuple[HeaderSection, bytes] | None:
    """Return the header section and the SHA-256 of the body in relaxed form; None for what has no header, or one that is not wanted."""
    with content.open() as stream:
        beginning = stream.read(HEADER_BYTES)
        offset = body_offset(beginning)
        if offset < 0:
            return None
        section = HeaderSection(beginning[:offset])
        if not is_wanted(section):
            return None
        body = BodyHash(Canon.RELAXED)
        chunk = beginning[offset:]
        while chunk:
            body.feed(chunk)
            chunk = stream.read(CHUNK_BYTES)
    return section, body.digest()
