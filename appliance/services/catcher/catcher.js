// What htmx does not do by itself: new mail as it comes, keys, the command palette, files that are dropped.
// Everything works without it, too.
const body = document.body;
const root = body.dataset.root;
const list = document.getElementById("list");
const reader = document.getElementById("reader");
const search = document.getElementById("q");
const hints = document.getElementById("hints");
const keys = document.getElementById("keys");
const palette = document.getElementById("palette");
const command = document.getElementById("command");
const commands = document.getElementById("commands");
const htmx = window.htmx;
const ticked = new Set();
body.classList.add("scripting");

const rows = () => [...list.querySelectorAll("a.row")];
const many = () => list.querySelector("#many");
let selected = decodeURIComponent((location.pathname.split("/view/")[1] || "").split("/")[0]);

function say(text) {
  const notice = document.getElementById("notice");
  const said = document.createElement("p");
  said.className = "said fading";
  said.textContent = text;
  notice.replaceChildren(said);
}

// What stands on the page

const isListing = () => !reader.querySelector("article, .sheet, .empty:not(.pick)");

function mark() {
  for (const row of rows()) {
    const current = row.dataset.id === selected;
    row.parentElement.classList.toggle("current", current);
    if (current) { row.setAttribute("aria-current", "true"); row.parentElement.classList.remove("unread"); } else row.removeAttribute("aria-current");
  }
  const listing = isListing();
  body.classList.toggle("reading", !listing);
  body.classList.toggle("listing", listing);
}

function ready() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = !navigator.clipboard;
  for (const box of list.querySelectorAll("input[name=id]")) box.checked = ticked.has(box.value);
  tick();
  watch();
}

function tick() {
  const boxes = [...list.querySelectorAll("input[name=id]")];
  for (const box of boxes) box.checked ? ticked.add(box.value) : ticked.delete(box.value);
  const all = document.getElementById("all");
  const count = boxes.filter((box) => box.checked).length;
  if (all) { all.checked = count > 0 && count === boxes.length; all.indeterminate = count > 0 && count < boxes.length; }
  many()?.classList.toggle("ticking", count > 0);
  many()?.classList.toggle("ticked-two", count === 2);
}

document.addEventListener("change", (event) => {
  if (event.target.id === "all") for (const box of list.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  if (event.target.id === "all" || event.target.name === "id") tick();
});

// What one looks at stays where it is, whatever comes above it; set right before anything is painted.
let held = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== list) return;
  known = new Set(rows().map((row) => row.dataset.id));
  const top = list.getBoundingClientRect().top;
  const anchor = refreshing && list.scrollTop > 0 && [...list.querySelectorAll(".rows > li[id]")].find((row) => row.getBoundingClientRect().bottom > top);
  held = anchor ? { id: anchor.id, top: anchor.getBoundingClientRect().top } : null;
});
document.addEventListener("htmx:afterSwap", (event) => {
  const again = event.detail.target === list && held && document.getElementById(held.id);
  if (again) list.scrollTop += again.getBoundingClientRect().top - held.top;
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target === reader) {
    if (!event.detail.requestConfig?.headers["X-Again"]) reader.scrollTop = 0;
    mark();
  }
  if (event.detail.target === list) mark();
  ready();
  forget();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => say(body.dataset.offline));

// What was done is told once, not again with each look at the same address.
function forget() {
  const where = new URL(location.href);
  if (!where.searchParams.has("done")) return;
  for (const name of ["done", "n", "deleted"]) where.searchParams.delete(name);
  history.replaceState(history.state, "", where);
}

// A message is opened in its pane; the address says which.

// Shows anew what stands there; never in the place of what somebody waits for.
function again(url) {
  if (reader.classList.contains("htmx-request")) return;
  htmx.ajax("GET", url, { target: "#reader", source: "#reader", push: "false", headers: { "X-Again": "1" } });
}

function open(url) {
  const row = rows().find((one) => one.getAttribute("href") === url);
  if (row) { selected = row.dataset.id; mark(); }
  htmx.ajax("GET", url, { target: "#reader", source: "#reader", push: "true" }).catch(() => 0);
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== reader) return;
  // What comes is of a message or of none; an answer that was overtaken is not shown.
  const path = new URL(event.detail.xhr.responseURL || location.href).pathname;
  if (path === root && event.detail.requestConfig.headers["X-Again"] && !reader.querySelector(".welcome")) {
    event.detail.shouldSwap = false;
    return;
  }
  if (path.startsWith(`${root}view/`)) selected = decodeURIComponent(path.slice(`${root}view/`.length));
  else if (!path.startsWith(`${root}sessions`)) selected = "";
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) { navigator.clipboard.writeText(button.dataset.copy).then(() => say(body.dataset.copied)); return; }
  const shown = event.target.closest("[data-show]");
  if (shown) document.getElementById(shown.dataset.show).showModal();
  const menu = document.querySelector(".menu[open]");
  if (menu && (!menu.contains(event.target) || event.target.closest("a, button"))) menu.open = false;
});

document.addEventListener("submit", (event) => {
  const next = event.target.querySelector("[name=next]");
  if (next) {
    const at = rows().findIndex((row) => row.dataset.id === selected);
    next.value = (rows()[at + 1] || rows()[at - 1])?.dataset.id || "";
  }
  if (event.target.matches("#many")) setTimeout(() => { ticked.clear(); ready(); });
}, true);

// New mail as it comes

let known = new Set();
let timer = 0;
let refreshing = false;
async function refresh() {
  if (refreshing) return later();
  refreshing = true;
  const form = many();
  const where = new URL(form.dataset.here, location.href);
  where.searchParams.set("start", form.dataset.start);
  // Who has scrolled is given some more than there was: what comes above must not push off the end what one looks at.
  where.searchParams.set("limit", Math.min(Math.max(rows().length + (list.scrollTop > 0 ? 25 : 0), 50), 500));
  const focused = document.activeElement?.closest?.("li[id]")?.id;
  const isBox = document.activeElement?.name === "id";
  try {
    await htmx.ajax("GET", where.pathname + where.search, { target: "#list", source: "#list", push: "false" });
  } catch {
    return;
  } finally {
    refreshing = false;
  }
  if (known.size || rows().length) for (const row of rows()) if (!known.has(row.dataset.id)) row.parentElement.classList.add("arrived");
  if (focused) document.getElementById(focused)?.querySelector(isBox ? "input" : "a")?.focus({ preventScroll: true });
  const unread = list.querySelector("#unread")?.textContent;
  // By what is there: a message that was opened meanwhile has its title before the body has its class.
  if (isListing()) document.title = (unread ? `(${unread}) ` : "") + "Carteiro";
  const isWelcome = reader.querySelector(".welcome");
  if (isWelcome && rows().length) again(root);
}
function later() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 80);
}
const events = new EventSource(`${root}api/carteiro/v1/events`);
for (const kind of ["new", "update", "delete", "prune", "truncate"]) events.addEventListener(kind, later);
let lost = false;
events.addEventListener("error", () => { lost = true; body.classList.add("offline"); });
events.addEventListener("open", () => { body.classList.remove("offline"); if (lost) { lost = false; later(); } });

// Sessions as they happen

let watching = null;
let waiting = 0;
function watch() {
  const shown = reader.querySelector("[data-watch]");
  if (!shown) { watching?.close(); watching = null; return; }
  if (watching) return;
  watching = new EventSource(`${root}sessions/events`);
  // What was said before the stream was open is asked for once it is.
  for (const kind of ["open", "said"]) watching.addEventListener(kind, () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (reader.querySelector("[data-watch]")) again(`${root}sessions`); }, 50);
  });
}

// Search

function showHints() {
  const word = search.value.split(/\s+/).pop().toLowerCase();
  let count = 0;
  for (const item of hints.children) {
    const fits = item.querySelector("button").dataset.word.toLowerCase().startsWith(word) && item.querySelector("button").dataset.word.toLowerCase() !== word;
    item.hidden = !fits;
    count += fits;
  }
  hints.hidden = !count || document.activeElement !== search && !hints.contains(document.activeElement);
}
search.addEventListener("focus", showHints);
search.addEventListener("input", showHints);
document.addEventListener("focusin", (event) => { if (!event.target.closest(".search")) hints.hidden = true; });
hints.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  search.value = search.value.replace(/\S*$/, "") + button.dataset.word;
  search.focus();
  if (!/[:-]$/.test(button.dataset.word)) htmx.trigger(search, "input");
  showHints();
});
search.closest("form").addEventListener("submit", () => { hints.hidden = true; });

// Keys

function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.dataset.id === selected);
  const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
  if (!next) return;
  next.scrollIntoView({ block: "nearest" });
  open(next.getAttribute("href"));
}
const press = (key) => () => document.querySelector(`[data-key="${key}"]`)?.click();
const back = () => { const link = reader.querySelector(".back"); link ? link.click() : (location.href = root); };
const actions = {
  j: () => step(1), k: () => step(-1), o: () => step(0), Enter: null,
  u: back,
  "/": () => { search.focus(); search.select(); },
  "?": () => keys.showModal(),
  "#": press("#"), Delete: press("#"), r: press("r"), s: press("s"), c: press("c"), z: press("z"),
  x: () => { const box = list.querySelector(".current input[name=id]"); if (box) { box.checked = !box.checked; tick(); } },
};

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open || palette.open) return;
  if (event.target === search && event.key === "ArrowDown" && !hints.hidden) { event.preventDefault(); hints.querySelector("li:not([hidden]) button").focus(); return; }
  if (event.key === "Escape") { hints.hidden = true; if (event.target.matches("input, textarea, select")) event.target.blur(); return; }
  if (hints.contains(event.target) && /^Arrow(Up|Down)$/.test(event.key)) {
    const shown = [...hints.querySelectorAll("li:not([hidden]) button")];
    event.preventDefault();
    (shown[shown.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)] || search).focus();
    return;
  }
  if (event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  const tab = /^[1-9]$/.test(event.key) && reader.querySelector(`[data-tab="${event.key}"]`);
  const action = tab ? () => tab.click() : actions[event.key];
  if (action) { event.preventDefault(); action(); }
});

// The command palette: everything that can be clicked now, found by its words

let choices = [];
function openPalette() {
  const seen = new Set();
  choices = [];
  for (const one of document.querySelectorAll(".tools a, .tools button, article .actions > a, article .actions button, .tabs a, .frame-bar a, .bulk button, .sheet button")) {
    const text = one.textContent.trim().replace(/\s+/g, " ");
    if (!text || seen.has(text) || one.closest(".tag-edit") || (one.closest(".bulk") && !many().classList.contains("ticking"))) continue;
    seen.add(text);
    choices.push({ text, key: one.dataset.key || (one.dataset.tab ?? ""), run: () => one.click() });
  }
  choices.push(...rows().slice(0, 50).map((row) => ({ text: `${row.querySelector(".subject").textContent} — ${row.querySelector(".who").textContent}`, key: "", run: () => open(row.getAttribute("href")) })));
  command.value = "";
  palette.showModal();
  showChoices();
}
function showChoices() {
  const words = command.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter((one) => words.every((word) => one.text.toLowerCase().includes(word))).slice(0, 12);
  commands.replaceChildren(...found.map((one, at) => {
    const item = document.createElement("li");
    item.id = `choice-${at}`;
    item.setAttribute("role", "option");
    item.textContent = one.text;
    if (one.key) { const key = document.createElement("kbd"); key.textContent = one.key; item.append(key); }
    item.addEventListener("click", () => { palette.close(); one.run(); });
    return item;
  }));
  choose(0);
}
function choose(at) {
  const items = [...commands.children];
  items.forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
  items[at]?.scrollIntoView({ block: "nearest" });
  items[at] ? command.setAttribute("aria-activedescendant", items[at].id) : command.removeAttribute("aria-activedescendant");
}
command.addEventListener("input", showChoices);
command.addEventListener("keydown", (event) => {
  const items = [...commands.children];
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose((at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % Math.max(items.length, 1));
  } else if (event.key === "Enter") {
    event.preventDefault();
    items[at]?.click();
  }
});

// Files dropped here are imported; a row dragged out is a file.

const drop = document.getElementById("drop");
const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
addEventListener("dragover", (event) => { if (hasFiles(event)) { event.preventDefault(); drop.hidden = false; } });
drop.addEventListener("dragleave", () => { drop.hidden = true; });
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.hidden = true;
  const form = new FormData();
  for (const file of event.dataTransfer.files) form.append("file", file);
  const answer = await fetch(`${root}import`, { method: "POST", body: form });
  if (!answer.ok) { say(body.dataset.failed); return; }
  const where = new URL(answer.url);
  open(where.pathname + where.search);
});
document.addEventListener("dragstart", (event) => {
  const row = event.target.closest?.("a.row");
  if (!row) return;
  const name = row.querySelector(".subject").textContent.trim().replace(/[^\p{L}\p{N} ._-]+/gu, "_").slice(0, 60) || row.dataset.id;
  const url = new URL(`${root}api/v1/message/${row.dataset.id}/raw?dl=1`, location.href).href;
  event.dataTransfer.setData("DownloadURL", `message/rfc822:${name}.eml:${url}`);
  event.dataTransfer.setData("text/uri-list", url);
  event.dataTransfer.effectAllowed = "copy";
});

ready();
forget();
