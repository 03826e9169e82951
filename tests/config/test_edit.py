"""Editing the one file: what was meant changes, every other byte stays."""

import tomllib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.edit import EditError, add_alias, add_user, remove_alias, remove_user, set_user_key, user_names

TEXT = """\
# our office
domain = "example.com"   # the domain

# people
[[users]]
name = "ana"
password = "old" # since May
# her quota
quota_bytes = 5

[[users]]
name = "bob"
password = "x"

# who gets what
[aliases]
sales = "ana"  # for now
"info@example.com" = [
  "ana",
  "bob", # too
]

# limits
[smtp]
max_errors = 5
"""


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are only in the one and only in the other, after the common start and end are taken off."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new


def test_a_new_user_stands_after_the_last_one() -> None:
    """The block has blank lines around it; nothing else moves."""
    after = add_user(TEXT, "eva", {"password": "h", "addresses": ["e@example.com"], "quota_bytes": 10_000})
    expected = ["[[users]]\n", 'name = "eva"\n', 'password = "h"\n', 'addresses = ["e@example.com"]\n', "quota_bytes = 10_000\n", "\n"]
    assert changed_lines(TEXT, after) == ([], expected)


def test_the_first_user_goes_to_the_end() -> None:
    """A file without users gets its first block, also when its last line has no end."""
    assert add_user('domain = "a"', "eva", {}) == 'domain = "a"\n\n[[users]]\nname = "eva"\n'


def test_a_password_is_replaced_in_its_place() -> None:
    """The comment on the same line stays."""
    assert changed_lines(TEXT, set_user_key(TEXT, "ana", "password", "new")) == (
        ['password = "old" # since May\n'],
        ['password = "new" # since May\n'],
    )


def test_a_missing_key_is_added_to_its_user() -> None:
    """It comes after the last key of that user."""
    assert changed_lines(TEXT, set_user_key(TEXT, "ana", "format", "mbox")) == ([], ['format = "mbox"\n'])


def test_a_removed_user_takes_its_lines_along() -> None:
    """Comments above the block stay: they may be about all users."""
    removed, added = changed_lines(TEXT, remove_user(TEXT, "ana"))
    assert added == []
    assert "".join(removed).strip() == TEXT[TEXT.index("[[users]]") : TEXT.index("\n\n[[users]]")]


def test_removing_what_was_added_gives_the_text_back() -> None:
    """Add and remove are inverse."""
    assert remove_user(add_user(TEXT, "eva", {"password": "h"}), "eva") == TEXT
    assert remove_alias(add_alias(TEXT, "new", ["ana"]), "new") == TEXT


def test_aliases_gain_and_lose_targets() -> None:
    """A single text becomes a list when it must."""
    more = add_alias(TEXT, "Sales", ["bob"])
    assert changed_lines(TEXT, more) == (['sales = "ana"  # for now\n'], ['sales = ["ana", "bob"]  # for now\n'])
    assert tomllib.loads(remove_alias(more, "sales", ["ana"]))["aliases"]["sales"] == ["bob"]
    gone = remove_alias(TEXT, "info@example.com")
    assert list(tomllib.loads(gone)["aliases"]) == ["sales"]
    assert list(tomllib.loads(remove_alias(TEXT, "sales", ["ana"]))["aliases"]) == ["info@example.com"]
    assert changed_lines(TEXT, add_alias(TEXT, "a.b", ["ana"]))[1] == ['"a.b" = ["ana"]\n']


def test_inline_tables_are_edited_where_that_is_safe() -> None:
    """Values inside { } can be replaced and added; taking one out is left to people."""
    text = 'users = [{name = "ana", password = "x"}]\naliases = {sales = "ana"}\n'
    assert set_user_key(text, "ana", "password", "y") == text.replace('"x"', '"y"')
    assert add_alias(text, "info", ["ana"]) == text.replace('"ana"}\n', '"ana", info = ["ana"]}\n')
    edits: list[Callable[[], str]] = [
        lambda: remove_user(text, "ana"),
        lambda: add_user(text, "bob", {}),
        lambda: remove_alias(text, "sales"),
    ]
    for edit in edits:
        with pytest.raises(EditError):
            edit()


def test_windows_line_ends_stay() -> None:
    """Added lines end as the others do."""
    text = TEXT.replace("\n", "\r\n")
    after = add_alias(add_user(text, "eva", {"password": "h"}), "x", ["ana"])
    assert after.count("\n") == after.count("\r\n")
    assert remove_user(remove_alias(after, "x"), "eva") == text


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (lambda: add_user(TEXT, "ana", {}), "exists"),
        (lambda: remove_user(TEXT, "eva"), "missing"),
        (lambda: set_user_key(TEXT, "eva", "password", "x"), "missing"),
        (lambda: add_alias(TEXT, "sales", ["ana"]), "exists"),
        (lambda: remove_alias(TEXT, "nothing"), "missing"),
        (lambda: remove_alias(TEXT, "sales", ["bob"]), "missing"),
        (lambda: add_user("users = 3", "a", {}), ""),
        (lambda: add_alias("aliases = 3", "a", ["b"]), ""),
        (lambda: user_names("= 3"), ""),
    ],
)
def test_what_cannot_be_done_says_of_which_kind_it_is(edit: Callable[[], object], kind: str) -> None:
    """The command chooses its exit code by it."""
    with pytest.raises(EditError) as caught:
        edit()
    assert (caught.value.exists, caught.value.missing) == (kind == "exists", kind == "missing")


BLOCKS = st.lists(
    st.sampled_from(
        [
            "# note\n",
            "\n",
            "[smtp]\nmax_errors = 5 # c\n",
            "[imap]\n",
            '[tls]\nkey_file = """a\n[[users]]\n"""\n',
            '[mail]\nsent = "é"\n\n# end\n',
        ]
    ),
    unique=True,
)
USER = st.sampled_from(
    ['[[users]]\nname = "ana"\npassword = "x"\n', '[[users]] # one\npassword = "x"\n\nname = "bob"\n# more\n', '[[users]]\nname="eva"\n\n']
)
ALIASES = st.sampled_from(["", '[aliases]\nsales = ["ana",\n"bob"] # c\n', "[aliases]\n", "[aliases]"])


@given(first=BLOCKS, users=st.lists(USER, unique=True), last=BLOCKS, aliases=ALIASES, windows=st.booleans())
def test_an_edit_changes_only_what_was_meant(first: list[str], users: list[str], last: list[str], aliases: str, *, windows: bool) -> None:
    """For files of many shapes: values change as meant, all other lines stay byte for byte, and undoing gives the text back."""
    text = "".join(["domain = 'example.com'\n", *first, *users, *(block for block in last if block not in first), aliases])
    if windows:
        text = text.replace("\n", "\r\n")
    added = add_user(text, "new", {"password": "p"})
    old, new = changed_lines(text, added)
    assert [line for line in old if line.endswith("\n")] == []
    assert "[[users]]" in "".join(new)
    for name in user_names(text):
        before, after = changed_lines(text, set_user_key(text, name, "password", "new"))
        assert len(before) <= 1
        assert len(after) == 1
        remove_user(text, name)
    with_alias = add_alias(text, "extra", ["a", "b"])
    assert tomllib.loads(with_alias)["aliases"]["extra"] == ["a", "b"]
    assert tomllib.loads(remove_alias(with_alias, "extra")).get("aliases", {}) == tomllib.loads(text).get("aliases", {})
