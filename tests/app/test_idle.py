"""A server that nobody has spoken to yet: it has loaded what it needs to greet, and no more."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LATE = (
    "appliance.services.imap.session", "appliance.protocols.imap.server", "appliance.protocols.imap.commands", "appliance.protocols.imap.grammar",
    "appliance.services.pop3.session", "appliance.protocols.pop3.server", "appliance.services.relay", "appliance.protocols.smtp.client",
    "appliance.services.web", "appliance.model.finding", "appliance.model.caught", "appliance.services.catcher", "appliance.storage.store", "appliance.storage.mailbox", "appliance.storage.index",
    "appliance.storage.text_index", "appliance.config.edit", "appliance.config.render",
    "appliance.storage.mbox", "asyncio", "concurrent", "cryptography", "dkim", "dns", "email", "h11", "http", "jinja2", "multiprocessing", "nh3", "sqlite3", "unittest", "xml",
)  # fmt: skip
"""What is loaded with the first client, the first message or the first look at the page; each is up to some MiB of idle memory."""
SCRIPT = """
import os, sys
from functools import partial
import trio
from appliance.app import serve
from appliance.app.listening import bind_all, plan
from appliance.app.serving import serve_until_told
from appliance.config.load import load

config = load(sys.argv[1])
sockets = bind_all(plan(config), {})

async def main():
    started = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_until_told, config, sockets, ready=lambda parts, runtime: started.set()))
        await started.wait()
        for listener, bound in sockets.items():
            stream = await trio.open_tcp_stream("127.0.0.1", bound[0].getsockname()[1])
            print("greeted", listener.name, bytes(await stream.receive_some()).decode(), end="")
        print("loaded", *sys.modules)
        sys.stdout.flush()
        os._exit(0)

trio.run(main)
"""


def test_what_is_loaded_before_anybody_speaks(tmp_path: Path) -> None:
    """Greetings on every port cost no session, no relay, no page."""
    settings = tmp_path / "carteiro.toml"
    listening = "".join(
        f'[{name}]\nlisten = ["127.0.0.1:0"]\nlisten_tls = []\n' if name != "smtp" else '[smtp]\nlisten = ["127.0.0.1:0"]\n'
        for name in ("smtp", "submission", "imap", "pop3")
    )
    settings.write_text(
        f'domain = "example.com"\ndata = "{tmp_path}/data"\n[[users]]\nname = "ana"\npassword = "{{PLAIN}}secret"\n{listening}[web]\nlisten = []\n'
    )
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(settings)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert ["smtp", "submission", "imap", "pop3"] == [line.split()[1] for line in done.stdout.splitlines() if line.startswith("greeted ")]
    loaded = done.stdout.splitlines()[-1].split()[1:]
    assert "appliance.services.smtp.session" in loaded
    assert [] == sorted(name for name in loaded if any(name == late or name.startswith(f"{late}.") for late in LATE))
