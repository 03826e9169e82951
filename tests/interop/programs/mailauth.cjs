// Verdicts of mailauth: node mailauth.cjs FILE, where FILE is {"zone": {NAME: {TYPE: [...]}}, "cases": [{message, ip, helo, sender}]}.
// Prints a JSON list of what it finds. No question leaves this process.
"use strict";
const fs = require("fs");
const { authenticate } = require("mailauth");

async function main() {
  const { zone, cases } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
  const resolver = async (name, type) => {
    const kinds = zone[name.toLowerCase().replace(/\.$/, "")];
    const found = kinds && kinds[type];
    if (!found) {
      const error = new Error(`query ${kinds ? "ENODATA" : "ENOTFOUND"} ${name}`);
      error.code = kinds ? "ENODATA" : "ENOTFOUND";
      throw error;
    }
    if (type === "TXT") return found.map((text) => text.match(/.{1,255}/g));
    if (type === "MX") return found.map((text) => ({ priority: Number(text.split(" ")[0]), exchange: text.split(" ")[1] }));
    return found;
  };
  const seen = [];
  for (const one of cases) {
    const found = await authenticate(Buffer.from(one.message, "base64"), {
      ip: one.ip, helo: one.helo, sender: one.sender, mta: "mx.example.org", resolver, disableBimi: true, minBitLength: 1024,
    });
    seen.push({
      spf: found.spf ? found.spf.status.result : "none",
      dkim: found.dkim.results.filter((each) => each.signingDomain).map((each) => `${each.signingDomain} ${each.status.result}`).sort(),
      arc: found.arc ? found.arc.status.result : "none",
      dmarc: found.dmarc ? found.dmarc.status.result : "none",
    });
  }
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
