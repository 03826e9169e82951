// Makes the page live: steps without new pages, new mail as it comes, keys. Everything works without it, too.
const body = document.body;
const root = body.dataset.root;
const list = document.getElementById("list");
const reader = document.getElementById("reader");
const search = document.getElementById("q");
const keys = document.getElementById("keys");

function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.add("shown");
  setTimeout(() => said.classList.remove("shown"), 1600);
}

async function fetchPart(url, part) {
  const address = new URL(url, location.href);
  address.searchParams.set("partial", part);
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  return answer.text();
}

function ready() {
  for (const button of reader.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

function mark() {
  const id = location.pathname.split("/view/")[1] || "";
  for (const row of list.querySelectorAll(".row")) {
    const current = row.dataset.id === id;
    row.parentElement.classList.toggle("current", current);
    current ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
    if (current) row.classList.remove("unread");
  }
  body.className = id ? "reading" : "listing";
}

async function show(url, push = true) {
  reader.innerHTML = await fetchPart(url, "reader");
  if (push) history.pushState(null, "", url);
  document.title = (reader.querySelector("h1")?.textContent || "") + " · Carteiro";
  reader.scrollTop = 0;
  mark();
  ready();
}

let refreshing = false;
let again = false;
async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  const known = new Set([...list.querySelectorAll(".row")].map((row) => row.dataset.id));
  const start = new URL(location.href).searchParams.get("start");
  const query = new URL(location.href).searchParams.get("q") || "";
  const address = query ? `${root}search?q=${encodeURIComponent(query)}` : root;
  const where = new URL(address, location.href);
  if (start) where.searchParams.set("start", start);
  const scroll = list.scrollTop;
  list.innerHTML = await fetchPart(where, "list");
  list.scrollTop = scroll;
  for (const row of list.querySelectorAll(".row")) if (!known.has(row.dataset.id)) row.classList.add("arrived");
  if (body.className === "reading") mark(); 
  const unread = list.querySelectorAll(".counts strong")[1]?.textContent;
  if (body.className !== "reading") document.title = (unread ? `(${unread}) ` : "") + "Carteiro";
  refreshing = false;
  if (again) { again = false; setTimeout(refresh, 150); }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    navigator.clipboard.writeText(button.dataset.copy).then(() => say(body.dataset.copied));
    return;
  }
  const link = event.target.closest("a");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.hasAttribute("download")) return;
  const address = new URL(link.href);
  const inside = address.origin === location.origin && address.pathname.startsWith(`${root}view/`) && !address.pathname.endsWith(".html");
  if (inside && !address.searchParams.has("lang") && !address.searchParams.has("theme")) {
    event.preventDefault();
    show(link.href);
  }
});

document.addEventListener("submit", (event) => {
  if (event.target.querySelector("[data-ask]") && !confirm(body.dataset.sure)) event.preventDefault();
});

function step(by) {
  const rows = [...list.querySelectorAll(".row")];
  const at = rows.findIndex((row) => row.parentElement.classList.contains("current"));
  const next = rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)];
  if (next) { show(next.href); next.scrollIntoView({ block: "nearest" }); }
}

const actions = {
  j: () => step(1),
  k: () => step(-1),
  o: () => step(0),
  u: () => { location.href = root; },
  "/": () => search.focus(),
  "?": () => keys.showModal(),
  "#": () => reader.querySelector('[data-key="#"]')?.click(),
  r: () => reader.querySelector('[data-key="r"]')?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const tab = /^[1-8]$/.test(event.key) && reader.querySelector(`[data-tab="${event.key}"]`);
  const action = tab ? () => tab.click() : actions[event.key];
  if (action) { event.preventDefault(); action(); }
});

addEventListener("popstate", () => {
  if (location.pathname.includes("/view/")) show(location.href, false);
  else location.reload();
});

let timer = 0;
function later() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 80);
}
const events = new EventSource(`${root}api/carteiro/v1/events`);
for (const kind of ["new", "update", "delete", "prune", "truncate"]) events.addEventListener(kind, later);
events.addEventListener("error", () => say(body.dataset.offline));
ready();
