// The npm clients of Mailpit and MailHog against one catcher: node catchers.cjs HTTP-PORT. Prints one JSON object of what they saw.
"use strict";
const { MailpitClient } = require("mailpit-api");

async function mailpit(port) {
  const client = new MailpitClient(`http://127.0.0.1:${port}`);
  const seen = {};
  const sent = await client.sendMessage({
    From: { Email: "node@a.test", Name: "Node" }, To: [{ Email: "b@c.test" }], Subject: "from mailpit-api", Text: "Hi https://x.test/", HTML: "<p>Hi</p>",
    Tags: ["npm"], Attachments: [{ Filename: "f.txt", Content: Buffer.from("file").toString("base64"), ContentType: "text/plain" }],
  });
  const id = sent.ID;
  seen.version = typeof (await client.getInfo()).Version;
  seen.relay = (await client.getConfiguration()).MessageRelay.Enabled;
  const summary = await client.getMessageSummary(id);
  seen.subject = summary.Subject;
  seen.attachment = summary.Attachments[0].FileName;
  seen.headers = (await client.getMessageHeaders(id)).Subject;
  seen.source = (await client.getMessageSource(id)).includes("from mailpit-api");
  seen.part = Boolean(await client.getMessageAttachment(id, summary.Attachments[0].PartID));
  seen.total = (await client.listMessages()).messages_count;
  seen.found = (await client.searchMessages({ query: "subject:mailpit-api" })).messages.length;
  seen.tags = await client.getTags();
  await client.setTags({ IDs: [id], Tags: ["one", "two"] });
  await client.renameTag("two", "three");
  await client.deleteTag("one");
  seen.retagged = await client.getTags();
  seen.html = await client.renderMessageHTML(id);
  seen.text = await client.renderMessageText(id);
  seen.links = (await client.linkCheck(id)).Links.length;
  seen.check = typeof (await client.htmlCheck(id)).Total.Supported;
  seen.chaos = (await client.setChaosTriggers({ Sender: { ErrorCode: 451, Probability: 5 } })).Sender.Probability;
  await client.setChaosTriggers({});
  await client.setReadStatus({ IDs: [id], Read: false });
  seen.unread = (await client.listMessages()).unread;
  return seen;
}

async function mailhog(port) {
  const client = require("mailhog")({ port });
  const seen = {};
  const all = await client.messages(0, 10);
  seen.total = all.total;
  seen.subject = all.items[0].subject;
  seen.latest = (await client.latestTo("b@c.test")).subject;
  seen.containing = (await client.search("mailpit-api", "containing")).count;
  await client.deleteMessage(all.items[0].ID);
  seen.left = (await client.messages()).total;
  await client.deleteAll();
  seen.none = (await client.messages()).total;
  return seen;
}

(async () => {
  const port = Number(process.argv[2]);
  console.log(JSON.stringify({ mailpit: await mailpit(port), mailhog: await mailhog(port) }));
})().catch((error) => { console.error(error.response ? [error.message, error.response.status, error.response.data, error.config && error.config.url] : error); process.exit(1); });
