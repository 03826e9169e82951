"""The thirteen messages that had been sent before the answers beside this file were recorded: ``seed_messages.py PORT``."""

import smtplib
import struct
import sys
import zlib
from email.message import EmailMessage
from email.utils import make_msgid

PLAIN = [
    (
        "Ana Souza <ana@loja.test>", "dev@app.test", "Password reset request",
        "Your code is 482913. It expires in 10 minutes.\nhttps://app.test/reset?t=abc123",
    ),
    (
        "Billing <billing@loja.test>", "joao+tagone@app.test, Maria <maria@app.test>", "Fatura nº 2026/118 — vencimento amanhã",
        "Olá,\n\nSegue a fatura.\n\n-- \nEquipe",
    ),
    ("cron@pi.local", "root@pi.local", "Cron <root@pi> /usr/local/bin/backup", "rsync: done\nsent 1,204,221 bytes"),
    ("Monitor <mon@pi.local>", "ops@app.test", "[ALERT] disk 91% on /srv", "Filesystem /srv is at 91%"),
]  # fmt: skip
HTML = (
    '<html><body style="margin:0;background:#f2f4f3;font-family:Arial"><table width="600" align="center" style="background:#fff;'
    'margin:20px auto;border-radius:8px"><tr><td style="background:#1b7f4b;color:#fff;padding:24px;font-size:26px">Loja Verde</td></tr>'
    '<tr><td style="padding:20px"><img src="cid:{cid}" width="560" height="120"><h2>Ofertas</h2><p>Confira <a href="https://loja.test/o">'
    'as ofertas</a> e <a href="http://127.0.0.1:9/broken">este link</a>.</p><div style="display:grid;gap:8px;position:sticky">grid</div>'
    '<p><a style="background:#1b7f4b;color:#fff;padding:12px 20px;text-decoration:none" href="https://loja.test/c">Comprar</a></p></td></tr>'
    "</table></body></html>"
)


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = (b"\0" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def plain(sender: str, recipients: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipients, subject
    message["Message-ID"] = make_msgid(domain="x.test")
    message.set_content(text)
    return message


def newsletter() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Loja Verde <news@loja.test>"
    message["To"] = "cliente@app.test"
    message["Cc"] = "copia@app.test"
    message["Subject"] = "🌱 Novidades da semana — até 40% de desconto"
    message["Message-ID"] = make_msgid(domain="x.test")
    message["List-Unsubscribe"] = "<mailto:out@loja.test>, <https://loja.test/u?id=1>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["X-Tags"] = "newsletter, campaign-12"
    message.set_content("Veja no navegador: https://loja.test/n/12")
    cid = make_msgid(domain="x.test")
    message.add_alternative(HTML.format(cid=cid[1:-1]), subtype="html")
    html = list(message.iter_parts())[1]
    html.add_related(png(560, 120, (120, 190, 150)), "image", "png", cid=cid)
    message.add_attachment(b"%PDF-1.4 fake", maintype="application", subtype="pdf", filename="catálogo.pdf")
    message.add_attachment(png(300, 200, (200, 80, 60)), maintype="image", subtype="png", filename="foto.png")
    return message


if __name__ == "__main__":
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
        for values in PLAIN * 3:
            client.send_message(plain(*values))
        client.send_message(newsletter(), to_addrs=["cliente@app.test", "copia@app.test", "oculta@app.test"])
