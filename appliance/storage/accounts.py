"""Stored passwords: how one string in the settings becomes a yes or no, and SCRAM's keys.

The string has one or two parts with a space between:

    $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH scram-sha-256$ITERATIONS$SALT$STORED$SERVER

The first is the PHC form that every Argon2 library reads; PLAIN and LOGIN are
checked against it. The second holds what RFC 5803 stores for SCRAM-SHA-256, base64;
without it that mechanism never succeeds for the user. ``{PLAIN}word`` is the
password itself, for throw-away set-ups.

Fails: a string that is none of these fits no password.
Does not: read files, wait, or limit guesses.

Sources: RFC 9106 (Argon2), RFC 5802 section 3, RFC 7677 section 4 (4,096 iterations at least), RFC 5803, RFC 4013 (SASLprep),
PHC string format; OWASP's 19 MiB, t=2, p=1.
"""

import base64
import binascii
import hashlib
import hmac
import unicodedata

from appliance.model.ports import ScramKeys

__all__ = ["PLAIN_PREFIX", "decoy_hash", "decoy_keys", "hash_password", "prepared", "scram_keys", "scram_keys_for", "verify_password"]

PLAIN_PREFIX = "{PLAIN}"
_SCRAM_PREFIX = "scram-sha-256"
_ITERATIONS = 4_096
_ARGON2_PASSES = 2
_ARGON2_LANES = 1
_HASH_BYTES = 32
# Longer than any password a person or generator makes; hashing costs time by the byte.
_MAX_PASSWORD = 1_024


def prepared(password: str) -> bytes:
    """Return the bytes of a password that are hashed: SASLprep's mapping and NFKC, so that each keyboard's accents agree.

    Source:   RFC 4013 section 2.1 and 2.2. Prohibited characters are left alone: nobody is locked out by them.
    """
    if not password.isascii():
        # Only passwords with accents need the tables.
        import stringprep

        mapped = (" " if stringprep.in_table_c12(each) else each for each in password if not stringprep.in_table_b1(each))
        password = unicodedata.normalize("NFKC", "".join(mapped))
    return password.encode("utf-8", "surrogatepass")


def hash_password(password: str, memory_kib: int, salt: bytes, scram_salt: bytes) -> str:
    """Return the string to store for a password.

    Units:    salts of 16 random bytes each, different ones.
    Blocks:   30 to 60 ms of computing, the GIL released.
    """
    # 80 ms of import, and only what checks passwords needs it.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    data = prepared(password)
    kdf = Argon2id(salt=salt, length=_HASH_BYTES, iterations=_ARGON2_PASSES, lanes=_ARGON2_LANES, memory_cost=memory_kib)
    keys = scram_keys_for(password, scram_salt)
    parts = (base64.b64encode(part).decode("ascii") for part in (keys.salt, keys.stored_key, keys.server_key))
    return f"{kdf.derive_phc_encoded(data)} {_SCRAM_PREFIX}${keys.iterations}${'$'.join(parts)}"


def decoy_hash(memory_kib: int, salt: bytes, digest: bytes) -> str:
    """Return a string that costs a check as much as a real one and fits no password. Nothing is computed: the digest is random."""
    parts = (base64.b64encode(part).decode("ascii").rstrip("=") for part in (salt, digest))
    return f"$argon2id$v=19$m={memory_kib},t={_ARGON2_PASSES},p={_ARGON2_LANES}${'$'.join(parts)}"


def verify_password(stored: str, password: str) -> bool:
    """Say whether a password fits.

    Blocks:   30 to 60 ms of computing, the GIL released.
    """
    data = prepared(password[:_MAX_PASSWORD])
    fits_length = len(password) <= _MAX_PASSWORD
    if stored.startswith(PLAIN_PREFIX):
        return hmac.compare_digest(prepared(stored.removeprefix(PLAIN_PREFIX)), data) and fits_length
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(data, stored.partition(" ")[0])
    except InvalidKey:
        return False
    return fits_length


def scram_keys(stored: str) -> ScramKeys | None:
    """Return the SCRAM keys of a stored string, None if it has none. In memory."""
    name, *rest = stored.partition(" ")[2].split("$")
    if name != _SCRAM_PREFIX or len(rest) != 4:
        return None
    try:
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in rest[1:])
        return ScramKeys(salt, int(rest[0]), stored_key, server_key)
    except (binascii.Error, ValueError):
        return None


def scram_keys_for(password: str, salt: bytes, iterations: int = _ITERATIONS) -> ScramKeys:
    """Return the keys of a password (RFC 5802 section 3). Blocks: 1 to 3 ms of computing."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramKeys(salt, iterations, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def decoy_keys(login: str, server_secret: bytes) -> ScramKeys:
    """Return keys for a login that does not exist: the same each time, as those of a real one, and no password fits them.

    Source:   RFC 5802 section 9 (an attacker must not learn which users exist).
    """
    name = login.strip().lower().encode("utf-8", "surrogatepass")
    salt, stored_key, server_key = (hmac.digest(server_secret, use + name, "sha256") for use in (b"salt\0", b"stored\0", b"server\0"))
    return ScramKeys(salt[:16], _ITERATIONS, stored_key, server_key)
