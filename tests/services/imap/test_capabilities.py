"""What is told, and what is hidden from whom."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance import config
from appliance.config.schema import ImapConfig
from appliance.protocols.sasl.mechanisms import SERVER_MECHANISMS
from appliance.services.imap.capabilities import list_capabilities

House = Any
Make = Callable[..., House]
REGISTER = Path(config.__file__).resolve().parents[1] / "doc" / "rfcs.toml"
DEFINED = {
    "2177": "IDLE",
    "2342": "NAMESPACE",
    "2971": "ID",
    "3348": "CHILDREN",
    "3501": "IMAP4rev1 STARTTLS LOGINDISABLED",
    "3502": "MULTIAPPEND",
    "3516": "BINARY",
    "3691": "UNSELECT",
    "4314": "ACL RIGHTS=",
    "4315": "UIDPLUS",
    "4469": "CATENATE",
    "4616": "AUTH=PLAIN",
    "4731": "ESEARCH",
    "4959": "SASL-IR",
    "4978": "COMPRESS=DEFLATE",
    "5032": "WITHIN",
    "5161": "ENABLE",
    "5182": "SEARCHRES",
    "5255": "LANGUAGE I18NLEVEL=",
    "5256": "SORT THREAD=",
    "5258": "LIST-EXTENDED",
    "5267": "CONTEXT=SEARCH CONTEXT=SORT ESORT",
    "5464": "METADATA METADATA-SERVER",
    "5465": "NOTIFY",
    "5466": "FILTERS",
    "5819": "LIST-STATUS",
    "5957": "SORT=DISPLAY",
    "6154": "SPECIAL-USE CREATE-SPECIAL-USE",
    "6203": "SEARCH=FUZZY",
    "6851": "MOVE",
    "6855": "UTF8=ACCEPT",
    "7162": "CONDSTORE QRESYNC",
    "7377": "MULTISEARCH",
    "7628": "AUTH=OAUTHBEARER",
    "7677": "AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS",
    "7888": "LITERAL+ LITERAL-",
    "7889": "APPENDLIMIT=",
    "8437": "UNAUTHENTICATE",
    "8438": "STATUS=SIZE",
    "8440": "LIST-MYRIGHTS",
    "8474": "OBJECTID",
    "8508": "REPLACE",
    "8514": "SAVEDATE",
    "8970": "PREVIEW",
    "9051": "IMAP4rev2",
    "9208": "QUOTA QUOTASET QUOTA=RES-",
    "9394": "PARTIAL",
    "9585": "INPROGRESS",
    "9586": "UIDONLY",
    "9590": "LIST-METADATA",
    "9738": "MESSAGELIMIT= SAVELIMIT=",
    "10022": "UIDBATCHES",
}
"""Which RFC defines a capability; what ends in ``=`` or ``-`` is the beginning of several."""
WITHOUT_RFC = {"AUTH=LOGIN", "THREAD=REFS"}
OFF_UNTIL_CONFIGURED = {"MESSAGELIMIT=", "AUTH=OAUTHBEARER", "AUTH=EXTERNAL", "QUOTASET", "METADATA-SERVER", "SAVELIMIT="}


def names(*hidden: str, logged_in: bool = True, login_allowed: bool = False) -> tuple[str, ...]:
    return list_capabilities(
        logged_in=logged_in, start_tls=True, login_allowed=login_allowed, append_limit=5, mechanisms=("PLAIN",), hidden=hidden
    )


def test_hidden_names() -> None:
    """A name hides itself, and what it names with a value; some cannot be hidden."""
    assert {"IDLE"} == {*names()} - {*names("IDLE")}
    assert {"APPENDLIMIT=5"} == {*names()} - {*names("APPENDLIMIT")}
    assert {"STATUS=SIZE"} == {*names()} - {*names("STATUS=SIZE")}
    assert set() == {*names()} - {*names("IMAP4REV1")}
    assert set() == {*names(logged_in=False)} - {*names("STARTTLS", "LOGINDISABLED", logged_in=False)}


async def test_hidden_from_one_account(make_house: Make) -> None:
    """Settings name what nobody is told, and what one account is not told."""
    house = make_house(settings=ImapConfig(hide_capabilities=("move",)), hidden={"ana": ("IDLE",)})
    async with house.session() as ana, house.session() as bob:
        await ana.log_in()
        await bob.log_in(b"bob")
        seen = [set((await client.ask(b"CAPABILITY"))[0].split()) for client in (ana, bob)]
    assert [False, False] == [b"MOVE" in names for names in seen]
    assert [False, True] == [b"IDLE" in names for names in seen]


def advertised() -> set[str]:
    """Everything that is told at some moment."""
    found: set[str] = set()
    for logged_in in (True, False):
        for login_allowed in (True, False):
            found |= {
                *list_capabilities(
                    logged_in=logged_in, start_tls=True, login_allowed=login_allowed, append_limit=5, mechanisms=SERVER_MECHANISMS
                )
            }
    return found


def test_the_register_says_what_is_told() -> None:
    """Each capability has an RFC that the register has as kept, and of what is kept in full all capabilities are told."""
    register = tomllib.loads(REGISTER.read_text(encoding="utf-8"))
    told = advertised() - WITHOUT_RFC
    matched: set[str] = set()
    for number, names in DEFINED.items():
        status = register[number]["status"] if number in register else "no"
        for name in names.split():
            found = {each for each in told if each == name or (name[-1] in "=-" and each.startswith(name))}
            matched |= found
            if found:
                assert status in {"yes", "partial"}, (name, number, status)
            elif name not in OFF_UNTIL_CONFIGURED:
                assert status != "yes", (name, number, status)
    assert set() == told - matched
