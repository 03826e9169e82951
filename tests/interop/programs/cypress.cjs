// The Cypress commands of cypress-mailpit and cypress-mailhog against one catcher: node cypress.cjs HTTP-PORT. Prints one JSON object of what they saw.
// Cypress itself is not there: what the commands ask of it is, over real HTTP.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const port = Number(process.argv[2]);
const base = `http://127.0.0.1:${port}`;
const settings = { MAILPIT_URL: base, mailHogUrl: `${base}/`, defaultCommandTimeout: 30000, responseTimeout: 30000 };

class Chain {
  constructor(promise) { this.promise = promise; }
  then(fulfilled, rejected) { return new Chain(this.promise.then(fulfilled, rejected)); }
  its(name) { return this.then((subject) => subject[name]); }
  should(chainer, value) {
    return this.then((subject) => {
      const good = { "not.have.length": subject.length !== value, "to.have.length.greaterThan": subject.length > value }[chainer];
      if (!good) throw new Error(`${chainer} ${value}: there are ${subject.length}`);
      return subject;
    });
  }
}

const cy = {
  wrap: (value) => new Chain(Promise.resolve(value)),
  env: (names) => cy.wrap(Object.fromEntries(names.map((name) => [name, settings[name]]))),
  wait: (milliseconds) => new Chain(new Promise((done) => setTimeout(done, milliseconds))),
  verifyUpcomingAssertions: (subject) => cy.wrap(subject),
  request: (options) => new Chain(request(options)),
};

async function request({ method, url, qs, body, failOnStatusCode = true }) {
  const query = qs ? `?${new URLSearchParams(qs)}` : "";
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const response = await fetch(url + query, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  if (failOnStatusCode && response.status >= 400) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
  return { status: response.status, body: isJson ? JSON.parse(text) : text };
}

const Cypress = {
  env: (name) => settings[name],
  expose: (name) => settings[name],
  config: (name) => settings[name],
  Commands: {
    add(name, options, command) {
      const run = command || options;
      if (command && options.prevSubject) {
        Chain.prototype[name] = function (...given) { return this.then((subject) => run(subject, ...given)); };
      } else {
        cy[name] = (...given) => cy.wrap(run(...given));
      }
    },
  },
};

// A bundler would do this: the packages are written for one.
function load(...names) {
  const sandbox = vm.createContext({ Cypress, cy, URL, setTimeout, Date, Error, JSON, encodeURIComponent });
  for (const name of names) {
    const text = fs.readFileSync(path.join(process.env.NODE_PATH, ...name.split("/")), "utf8");
    vm.runInContext(text.replace(/^(import|export) .*$/gm, ""), sandbox, { filename: name });
  }
}

async function mailpit() {
  const seen = {};
  await cy.mailpitDeleteAllEmails();
  await cy.mailpitSendMail({ subject: "from cypress", attachments: [{ Filename: "f.txt", Content: "ZmlsZQ==", ContentType: "text/plain" }] });
  const mail = await cy.mailpitGetMail();
  seen.total = (await cy.mailpitGetAllMails()).total;
  seen.subject = await cy.wrap(mail).mailpitGetSubject();
  seen.from = await cy.wrap(mail).mailpitGetFromAddress();
  seen.to = await cy.wrap(mail).mailpitGetRecipientAddress();
  seen.attachments = await cy.wrap(mail).mailpitGetAttachments();
  seen.html = await cy.wrap(mail).mailpitGetMailHTMlBody();
  seen.text = await cy.wrap(mail).mailpitGetMailTextBody();
  seen.found = (await cy.mailpitHasEmailsBySubject("cypress")).messages_count;
  seen.nobody = (await cy.mailpitNotHasEmailsByTo("nobody@example.com")).messages_count;
  seen.bySearch = (await cy.mailpitHasEmailsBySearch("is:read")).messages_count;
  await cy.wrap(mail).mailpitSetStatusAsUnRead();
  seen.unread = (await cy.mailpitGetAllMails()).unread;
  await cy.mailpitSetAllEmailStatusAsRead();
  seen.stillUnread = (await cy.mailpitGetAllMails()).unread;
  await cy.mailpitDeleteEmailsBySearch("subject:cypress");
  seen.left = (await cy.mailpitGetAllMails()).total;
  return seen;
}

async function mailhog() {
  const seen = {};
  await cy.mailpitSendMail({ subject: "for mailhog", attachments: [{ Filename: "f.txt", Content: "ZmlsZQ==", ContentType: "text/plain" }] });
  const mails = await cy.mhGetAllMails();
  const mail = await cy.wrap(mails).mhFirst();
  seen.count = mails.length;
  seen.subject = await cy.wrap(mail).mhGetSubject();
  seen.sender = await cy.wrap(mail).mhGetSender();
  seen.recipients = await cy.wrap(mail).mhGetRecipients();
  seen.attachments = await cy.wrap(mail).mhGetAttachments();
  seen.bySubject = (await cy.mhGetMailsBySubject("for mailhog")).length;
  seen.bySender = (await cy.mhGetMailsBySender("from@example.com")).length;
  seen.byRecipient = (await cy.mhGetMailsByRecipient("jane@example.com")).length;
  seen.filtered = (await cy.wrap(mails).mhFilterBySubject("other")).length;
  seen.searched = (await cy.mhSearchMails("containing", "hello")).length;
  await cy.mhHasMailTo("bcc@example.com");
  await cy.mhWaitForMails(0);
  seen.jim = await cy.mhGetJimMode();
  await cy.mhSetJimMode(true);
  seen.jimOn = await cy.mhGetJimMode();
  await cy.mhSetJimMode(false);
  await cy.mhDeleteAll();
  seen.left = (await cy.mhGetAllMails()).length;
  return seen;
}

(async () => {
  load("cypress-mailpit/dist/src/MailpitCommands.js", "cypress-mailpit/dist/index.js");
  load("cypress-mailhog/index.js");
  console.log(JSON.stringify({ mailpit: await mailpit(), mailhog: await mailhog() }));
})().catch((error) => { console.error(error); process.exit(1); });
