"""The private keys that outgoing mail is signed with, and which of them is in use.

Owns ``<data>/keys/dkim/DOMAIN/``: ``SELECTOR.pem`` per key (0600) and ``keys.json``, which says what is
current, what is prepared to follow, and what was in use before and since when not any more.
A pair is an RSA-2048 and an Ed25519 key, each with a selector of its own.

Fails: NotFoundError for a domain without keys, CorruptError for files that make no sense, OSError.
Durable: at return, keys before the file that names them.
Sources: RFC 6376 section 3.1 (selectors and changing keys), RFC 8301 section 3.2 (2,048 bits), RFC 8463.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.model.errors import AlreadyExistsError, CorruptError, NotFoundError
from appliance.storage.atomic import replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["DkimKeys", "DomainKeys", "KeyPair", "PrivateKey"]

RSA_BITS: Final = 2_048
MAX_RETIRED: Final = 20


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The selectors of two keys. Units: wall clock seconds since the epoch; ``until_s``: 0 while it is not retired."""

    rsa: str
    ed25519: str
    since_s: float
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """What a domain has. ``retired``: the latest first."""

    domain: str
    current: KeyPair
    following: KeyPair
    retired: tuple[KeyPair, ...] = ()


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One key, ready. ``sign``: octets -> signature; ``public``: as its record holds it."""

    selector: str
    kind: str
    sign: Callable[[bytes], bytes]
    public: bytes


class DkimKeys:
    """The directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def domains(self) -> Sequence[str]:
        """Return the domains that have keys. Blocks: disk."""
        try:
            return sorted(path.parent.name for path in self.directory.glob("*/keys.json"))
        except OSError:
            return []

    def marks(self) -> tuple[tuple[str, int], ...]:
        """Return what changes when keys do. Blocks: disk, briefly."""
        found = []
        for domain in self.domains():
            try:
                found.append((domain, (self.directory / domain / "keys.json").stat().st_mtime_ns))
            except OSError:
                continue
        return tuple(found)

    def load(self, domain: str) -> DomainKeys:
        """Return what a domain has. Blocks: disk."""
        path = self.directory / domain / "keys.json"
        try:
            found = json.loads(path.read_bytes())
            pairs = [KeyPair(**found[name]) for name in ("current", "following")]
            return DomainKeys(domain, pairs[0], pairs[1], tuple(KeyPair(**one) for one in found["retired"]))
        except FileNotFoundError as error:
            raise NotFoundError(f"{domain} has no DKIM keys") from error
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptError(f"{path}: {error}") from error

    def create(self, domain: str, prefix: str, now_s: float) -> DomainKeys:
        """Make a pair to use and one to follow. ``prefix``: of the selectors. Raises AlreadyExistsError."""
        directory = self.directory / domain
        if (directory / "keys.json").exists():
            raise AlreadyExistsError(f"{domain} has DKIM keys already")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = DomainKeys(domain, self._make_pair(domain, f"{prefix}a", now_s), self._make_pair(domain, f"{prefix}b", now_s))
        self._save(keys)
        return keys

    def rotate(self, domain: str, prefix: str, now_s: float) -> DomainKeys:
        """Use the pair that was prepared, and prepare another; the old one's files stay until ``forget``."""
        keys = self.load(domain)
        taken = {selector for pair in (keys.current, keys.following, *keys.retired) for selector in (pair.rsa, pair.ed25519)}
        letters = (letter for letter in "abcdefghijklmnopqrstuvwxyz" if f"{prefix}{letter}r" not in taken)
        following = self._make_pair(domain, f"{prefix}{next(letters, f'x{len(taken)}')}", now_s)
        retired = (replace(keys.current, until_s=now_s), *keys.retired)[:MAX_RETIRED]
        changed = DomainKeys(domain, replace(keys.following, since_s=now_s), following, retired)
        self._save(changed)
        return changed

    def forget(self, domain: str, before_s: float) -> tuple[KeyPair, ...]:
        """Remove pairs that were retired before; return them: their records may be taken out of DNS."""
        keys = self.load(domain)
        gone = tuple(pair for pair in keys.retired if pair.until_s < before_s)
        if gone:
            self._save(replace(keys, retired=tuple(pair for pair in keys.retired if pair not in gone)))
            for pair in gone:
                for selector in (pair.rsa, pair.ed25519):
                    (self.directory / domain / f"{selector}.pem").unlink(missing_ok=True)
        return gone

    def private_keys(self, domain: str, pair: KeyPair) -> list[PrivateKey]:
        """Return the pair's keys, RSA first. Blocks: disk; cryptography (80 ms) is loaded by the first call."""
        return [self._private_key(domain, pair.rsa), self._private_key(domain, pair.ed25519)]

    # Inside

    def _save(self, keys: DomainKeys) -> None:
        text = {"current": asdict(keys.current), "following": asdict(keys.following), "retired": [asdict(one) for one in keys.retired]}
        replace_file(self.directory / keys.domain / "keys.json", (json.dumps(text, indent=1) + "\n").encode(), 0o600)

    def _make_pair(self, domain: str, stem: str, now_s: float) -> KeyPair:
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

        self._write(domain, f"{stem}r", rsa.generate_private_key(65_537, RSA_BITS))
        self._write(domain, f"{stem}e", ed25519.Ed25519PrivateKey.generate())
        return KeyPair(f"{stem}r", f"{stem}e", now_s)

    def _write(self, domain: str, selector: str, key: "PrivateKeyTypes") -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace_file(self.directory / domain / f"{selector}.pem", data, 0o600)

    def _private_key(self, domain: str, selector: str) -> PrivateKey:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        path = self.directory / domain / f"{selector}.pem"
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} is missing") from error
        except (ValueError, TypeError) as error:
            raise CorruptError(f"{os.fspath(path)} holds no private key") from error
        if isinstance(key, rsa.RSAPrivateKey):
            rsa_key, scheme, digest = key, padding.PKCS1v15(), hashes.SHA256()
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return PrivateKey(selector, "rsa", lambda data: rsa_key.sign(data, scheme, digest), public)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            edwards, raw = key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            # RFC 8463 section 3: the signature is over the hash.
            return PrivateKey(selector, "ed25519", lambda data: edwards.sign(hashlib.sha256(data).digest()), raw)
        raise CorruptError(f"{path} is neither an RSA nor an Ed25519 key")
