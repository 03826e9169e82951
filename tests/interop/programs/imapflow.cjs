// A session with imapflow: node imapflow.cjs PORT USER PASSWORD. Prints one JSON object of what it saw.
"use strict";
const { ImapFlow } = require("imapflow");

async function main() {
  const [port, user, pass] = process.argv.slice(2);
  const client = new ImapFlow({ host: "127.0.0.1", port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger: false });
  const seen = {};
  await client.connect();
  seen.mailboxes = (await client.list()).map((box) => box.path).sort();
  const created = await client.mailboxCreate(["Café", "Année 2026"]);
  seen.created = created.path;
  const message = Buffer.from("From: ana@example.com\r\nSubject: =?utf-8?q?Ol=C3=A1?= from Node\r\n\r\nbody with a needle\r\n");
  const appended = await client.append("INBOX", message, ["\\Seen", "$Node"], new Date("2026-03-03T10:00:00Z"));
  seen.appendedUid = appended.uid;
  await client.append("INBOX", Buffer.from("Subject: two\r\n\r\nsecond\r\n"));
  const lock = await client.getMailboxLock("INBOX");
  try {
    seen.exists = client.mailbox.exists;
    seen.found = await client.search({ body: "needle" }, { uid: true });
    const one = await client.fetchOne(String(appended.uid), { envelope: true, flags: true, bodyStructure: true, source: true, internalDate: true }, { uid: true });
    seen.subject = one.envelope.subject;
    seen.flags = [...one.flags].filter((flag) => flag !== "\\Recent").sort();
    seen.internalDate = one.internalDate.toISOString();
    seen.identical = one.source.equals(message);
    seen.type = one.bodyStructure.type;
    const news = new Promise((resolve) => client.once("exists", resolve));
    const waiting = client.idle();
    const other = new ImapFlow({ host: "127.0.0.1", port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger: false });
    await other.connect();
    await other.append("INBOX", Buffer.from("Subject: three\r\n\r\nthird\r\n"));
    await other.logout();
    seen.news = (await news).count;
    await client.noop();
    await waiting;
    await client.messageFlagsAdd({ uid: String(appended.uid) }, ["\\Flagged"], { uid: true });
    const moved = await client.messageMove(String(appended.uid), created.path, { uid: true });
    seen.moved = [...moved.uidMap.keys()].map(Number);
    await client.messageDelete({ seq: "1" });
    seen.left = (await client.status("INBOX", { messages: true })).messages;
  } finally {
    lock.release();
  }
  seen.there = (await client.status(created.path, { messages: true })).messages;
  await client.mailboxRename(created.path, "Renamed");
  await client.mailboxDelete("Renamed");
  seen.after = (await client.list()).map((box) => box.path).sort();
  await client.logout();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
