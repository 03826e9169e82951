"""Stored passwords: hashing, checking, SCRAM keys."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.kinds import CHECKS
from appliance.storage.accounts import decoy_hash, decoy_keys, hash_password, prepared, scram_keys, scram_keys_for, verify_password

MEMORY_KIB = 64
SALTS = (b"s" * 16, b"t" * 16)


def test_a_hash_fits_its_password_alone() -> None:
    """The settings accept the string, and so does the check."""
    stored = hash_password("correct horse", MEMORY_KIB, *SALTS)
    assert CHECKS["password"](stored) == ""
    assert [verify_password(stored, each) for each in ("correct horse", "correct hors", "")] == [True, False, False]
    assert "correct" not in stored


def test_plain_passwords_are_compared_as_they_are() -> None:
    """For throw-away set-ups."""
    assert [verify_password("{PLAIN}secret", each) for each in ("secret", "Secret", "{PLAIN}secret")] == [True, False, False]


@pytest.mark.parametrize("stored", ["", "x", "{PLAIN", "$argon2id$v=19$m=64,t=2,p=1$x$y", " scram-sha-256$1$a$b$c"])
def test_a_damaged_string_fits_no_password(stored: str) -> None:
    """It is no error either: the login fails."""
    assert not verify_password(stored, "x")
    assert not verify_password(stored, "")


def test_an_endless_password_is_wrong() -> None:
    """Also when its start is right."""
    stored = "{PLAIN}" + "a" * 1_024
    assert verify_password(stored, "a" * 1_024)
    assert not verify_password(stored, "a" * 1_025)


def test_scram_keys_are_those_of_rfc_7677() -> None:
    """RFC 7677 section 3 gives an exchange; its server signature needs these keys."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    keys = scram_keys_for("pencil", salt)
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    import hmac

    assert base64.b64encode(hmac.digest(keys.server_key, message, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_stored_scram_keys_come_back() -> None:
    """What was hashed and what is read are the same keys."""
    stored = hash_password("pencil", MEMORY_KIB, *SALTS)
    assert scram_keys(stored) == scram_keys_for("pencil", SALTS[1])
    assert [scram_keys(each) for each in ("", stored.partition(" ")[0], "x scram-sha-256$a$b$c$d", "x scram-sha-256$1$!$b$c")] == [None] * 4


def test_decoys_are_steady_different_and_fit_nothing() -> None:
    """An unknown login looks like a known one, each time."""
    secret = b"k" * 32
    assert decoy_keys("Nobody", secret) == decoy_keys("nobody ", secret)
    assert decoy_keys("nobody", secret).salt != decoy_keys("nobody2", secret).salt
    assert decoy_keys("nobody", secret) != decoy_keys("nobody", b"j" * 32)
    assert decoy_keys("nobody", secret).iterations == scram_keys_for("x", b"salt").iterations
    decoy = decoy_hash(MEMORY_KIB, b"s" * 16, b"d" * 32)
    assert CHECKS["password"](decoy) == ""
    assert not verify_password(decoy, "x")


def test_accents_typed_either_way_agree() -> None:
    """RFC 4013: composed and combining forms, full width and no-break spaces are one."""
    assert prepared("caf\u00e9") == prepared("cafe\u0301") == "café".encode()
    assert prepared("a\u00a0b\u00ad") == b"a b"


@given(st.text(max_size=30), st.text(max_size=30))
def test_plain_checks_hold_for_any_text(password: str, other: str) -> None:
    """Whatever people type, nothing is raised."""
    assert verify_password("{PLAIN}" + password, password)
    assert verify_password("{PLAIN}" + password, other) == (prepared(password) == prepared(other))
