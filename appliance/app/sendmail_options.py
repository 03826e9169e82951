"""The options of sendmail(1), as programs have used them for forty years.

Owns which options there are, which take a value, and what each means here. Those
that steer another program's queue or files are taken and ignored, so that no
caller fails for them.

Fails: ``UsageError`` with a sentence.
Sources: Postfix sendmail(1), Sendmail's sendmail(8), RFC 3461 (-N, -R, -V).
"""

import enum
import getopt
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.model.envelope import Notify, Ret

__all__ = ["SEND_HELP", "Mode", "SendOptions", "Trouble", "UsageError", "parse_send_options"]

SEND_HELP = """\
usage: carteiro send [OPTIONS] [RECIPIENT ...] < MESSAGE

Hand a message to the local server. Options are those of sendmail(1):

  -t             take recipients from To, Cc and Bcc too; Bcc is removed
  -i, -oi        a line with a single dot does not end the message
  -f ADDR, -r ADDR   envelope sender; <> for none
  -F NAME        the sender's full name, for a From field that is missing
  -N WHEN        ask for notifications: never, or success,failure,delay
  -R full|hdrs, -V ID   what a notification returns, and the id it shows
  -B 7BIT|8BITMIME      how the body is announced
  -oem, -oep, -oeq      tell failures by a file (default), by text, by the exit code alone
  -v             say what the server answered
  -bm            send a message (default)
  -bs            speak SMTP over standard input and output
  -bv            only say whether each recipient would be taken
  -bp            list the queue (mailq);  -q: try the queue now
  -bi            nothing: aliases need no rebuilding (newaliases)

  -c FILE        settings file, for the server's address and your domain
  --server HOST:PORT    another server; unix:/PATH speaks LMTP

A message that cannot be handed over is appended to dead.letter in your home directory.
Exit codes: 0 taken, 64 usage, 65 message, 67 no such recipient, 69 refused, 75 try later."""


class UsageError(Exception):
    """The command line makes no sense; the text says how it would."""


class Mode(enum.Enum):
    DELIVER = "m"
    SPEAK_SMTP = "s"
    VERIFY = "v"
    LIST_QUEUE = "p"
    RETRY_QUEUE = "q"
    REBUILD_ALIASES = "i"


class Trouble(enum.Enum):
    """How a failure is told, besides the exit code (-oe)."""

    FILE = "file"
    TEXT = "text"
    NOTHING = "nothing"


@dataclass(slots=True)
class SendOptions:
    """``sender`` None: the user who calls; ``""``: the null reverse-path. ``config`` None: the usual file, if it can be read."""

    mode: Mode = Mode.DELIVER
    recipients: list[str] = field(default_factory=list)
    from_header: bool = False
    ignore_dots: bool = False
    sender: str | None = None
    full_name: str | None = None
    notify: Notify | None = None
    ret: Ret | None = None
    envid: str | None = None
    is_8bit: bool = False
    trouble: Trouble = Trouble.FILE
    verbose: bool = False
    config: str | None = None
    server: str | None = None
    help: bool = False


_SHORT = "A:B:C:F:GIL:N:O:R:UV:X:b:c:e:f:h:imno:p:r:q:tvx"
_LONG = ["config=", "server=", "help"]

# "Mail errors" (e, m) and "write" (w) leave the message where the user finds it; nobody is there to read a terminal.
_TROUBLES = {"e": Trouble.FILE, "m": Trouble.FILE, "w": Trouble.FILE, "p": Trouble.TEXT, "q": Trouble.NOTHING}
_MODES = {"m": Mode.DELIVER, "a": Mode.SPEAK_SMTP, "s": Mode.SPEAK_SMTP, "v": Mode.VERIFY, "t": Mode.VERIFY, "p": Mode.LIST_QUEUE} | {
    "i": Mode.REBUILD_ALIASES
}
_DAEMONS = "dDlhH"
_NOTIFY = {"success": Notify.SUCCESS, "failure": Notify.FAILURE, "delay": Notify.DELAY}


def parse_send_options(arguments: Sequence[str]) -> SendOptions:
    """Return the options. Raises UsageError."""
    words = _with_values(arguments)
    try:
        found, recipients = getopt.gnu_getopt(words, _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}; see: carteiro send --help") from error
    options = SendOptions(recipients=recipients)
    for name, value in found:
        _take(options, name, value)
    return options


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Give ``-q`` and ``-V`` the value that they may lack (Postfix does it the same way)."""
    words: list[str] = []
    for position, word in enumerate(arguments):
        if word == "--":
            return [*words, *arguments[position:]]
        words.append({"-q": "-qnow"}.get(word, word))
    return words


def _take(options: SendOptions, name: str, value: str) -> None:  # noqa: C901, PLR0912 - a table of options
    match name:
        case "-b":
            options.mode = _mode(value)
        case "-q":
            options.mode = Mode.RETRY_QUEUE
        case "-I":
            options.mode = Mode.REBUILD_ALIASES
        case "-t":
            options.from_header = True
        case "-i":
            options.ignore_dots = True
        case "-f" | "-r":
            options.sender = "" if value.strip() in {"", "<>"} else value.strip()
        case "-F":
            options.full_name = value
        case "-N":
            options.notify = _notify(value)
        case "-R":
            options.ret = _ret(value)
        case "-V":
            options.envid = value
        case "-B":
            options.is_8bit = _is_8bit(value)
        case "-e":
            options.trouble = _trouble(value)
        case "-o":
            _take_old(options, value)
        case "-v":
            options.verbose = True
        case "-c" | "--config":
            options.config = value
        case "--server":
            options.server = value
        case "--help":
            options.help = True
        case _:
            pass  # -A -C -G -L -O -U -X -h -m -n -p -x: another program's queue, files and habits


def _mode(value: str) -> Mode:
    if value in _MODES:
        return _MODES[value]
    if value and value in _DAEMONS:
        raise UsageError(f"-b{value} starts no server here; type: carteiro serve, or: systemctl start carteiro")
    raise UsageError(f"-b{value} is not known; see: carteiro send --help")


def _take_old(options: SendOptions, value: str) -> None:
    """``-oX``: the one-letter options; all but ``i`` and ``e`` are ignored."""
    if value == "i":
        options.ignore_dots = True
    elif value[:1] == "e":
        options.trouble = _trouble(value[1:])


def _trouble(value: str) -> Trouble:
    try:
        return _TROUBLES[value[:1]]
    except KeyError:
        raise UsageError(f"-e{value} is not known; it is m, w, e, p or q") from None


def _notify(value: str) -> Notify:
    words = [word.strip().lower() for word in value.split(",")]
    if words == ["never"]:
        return Notify.NEVER
    if not all(word in _NOTIFY for word in words):
        raise UsageError(f"-N {value} is not known; it is never, or any of success,failure,delay")
    wanted = Notify.NEVER
    for word in words:
        wanted |= _NOTIFY[word]
    return wanted


def _ret(value: str) -> Ret:
    try:
        return {"full": Ret.FULL, "hdrs": Ret.HEADERS}[value.lower()]
    except KeyError:
        raise UsageError(f"-R {value} is not known; it is full or hdrs") from None


def _is_8bit(value: str) -> bool:
    if value.upper() not in {"7BIT", "8BITMIME"}:
        raise UsageError(f"-B {value} is not known; it is 7BIT or 8BITMIME")
    return value.upper() == "8BITMIME"
