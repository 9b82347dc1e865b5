// The page: routes, the shop, the product panel, catalogue and events. In: the server's API and what the reader presses;
// out: the filled skeleton of index.html. Quality and health lie in figures.js.

import { Refused, ask, feedback, get, path, query } from "./api.js";
import { bar, button, byId, el, note, step } from "./draw.js";
import { drawHealth, drawQuality, hideHealth, showHealth, showQuality } from "./figures.js";
import * as words from "./words.js";
const { t } = words;

const SLATE = 12;
const PAGE = 50;
const KINDS = ["view", "cart", "buy"];

// ---- what went wrong, and what happened

function fail(error) {
  if (!(error instanceof Refused)) console.error(error);
  const [message, remedy] = words.refusal(error);
  const text = el("p", {}, el("strong", {}, message), remedy && [el("br"), remedy]);
  byId("alert").replaceChildren(text, button(".quiet", calm, t("close")));
  if (byId("product").open) sayInside(`${message} ${remedy}`);
}

const calm = () => byId("alert").replaceChildren();

function announce(text) {
  byId("announce").textContent = text;
  sayInside(text);
}

/** What lies behind an open dialog is neither seen nor read out, so the panel says it too. */
function sayInside(text) {
  const inside = byId("product").querySelector(".said");
  if (inside) inside.textContent = text;
}

// ---- the shop

const shop = { user: "", users: [], cursor: "", history: null, all: false, slate: null, failed: false, decision: "", fresh: new Set(), open: new Set(), query: "", found: null, turn: 0, busy: false };

const shopAddress = (user) => "#/shop/" + encodeURIComponent(user);
const go = (user) => (location.hash = shopAddress(user));
const invent = () => go(`new-${1000 + Math.floor(Math.random() * 9000)}`);

async function showShop(user) {
  if (!shop.users.length) await moreUsers();
  if (!user && shop.user) return history.replaceState(null, "", shopAddress(shop.user));
  if (!user) return location.replace(shopAddress(shop.users[0]?.UserId ?? "new-1"));
  if (user === shop.user) return;
  Object.assign(shop, { user, history: null, slate: null, failed: false, decision: "", all: false, fresh: new Set(), open: new Set() });
  announce("");
  drawShop();
  await loadShopper();
}

async function moreUsers() {
  try {
    const page = await get("/api/users" + query({ n: 20, cursor: shop.cursor }));
    shop.users.push(...page.Users);
    shop.cursor = page.Cursor;
  } catch (error) {
    fail(error);
  }
  drawUsers();
}

/** What stands where there are no rows: still loading, not to be loaded, or really none. */
function vacant(rows, failed, empty, again) {
  if (rows) return note(t(empty));
  return failed ? note(t("failed"), again, t("again")) : note(t("loading"));
}

/** Reads history and slate; an answer for a shopper who is no longer looked at is dropped. */
async function loadShopper() {
  const [turn, user] = [++shop.turn, shop.user];
  byId("slate").setAttribute("aria-busy", "true");
  const asked = [
    get(path("api", "user", user, "feedback") + query({ n: PAGE })),
    ask(path("api", "recommend", user) + query({ n: SLATE, explain: true })),
  ];
  const [past, slate] = await Promise.allSettled(asked);
  if (turn !== shop.turn) return false;
  if (past.status === "fulfilled") shop.history = past.value;
  if (slate.status === "fulfilled") {
    shop.slate = slate.value.body;
    shop.decision = slate.value.headers.get("lingxi-decision") ?? "";
  }
  const failed = [past, slate].find((answer) => answer.status === "rejected");
  shop.failed = Boolean(failed);
  drawShop();
  if (failed) fail(failed.reason);
  else calm();
  return slate.status === "fulfilled";
}

/** Posts what the shopper did, then shows what that changed. */
async function act(kind, item, title) {
  if (shop.busy) return;
  shop.busy = true;
  const [user, before] = [shop.user, shop.slate ?? []];
  try {
    await feedback(kind, user, item);
    if (user === shop.user) await showChange(words.saved(kind, { user, title }), before);
  } catch (error) {
    fail(error);
  } finally {
    shop.busy = false;
  }
}

async function showChange(said, before) {
  const old = new Set(before.map((place) => place.ItemId));
  const from = shop.slate;
  if (!(await loadShopper()) || shop.slate === from) return announce(said);
  const now = new Set(shop.slate.map((place) => place.ItemId));
  const entered = shop.slate.filter((place) => !old.has(place.ItemId));
  const gone = before.filter((place) => !now.has(place.ItemId));
  shop.fresh = new Set(entered.map((place) => place.ItemId));
  drawSlate();
  announce([said, changed("entered", entered), changed("left", gone), !entered.length && !gone.length && t("unchanged")].filter(Boolean).join(" "));
}

const changed = (key, places) => places.length && t(key, { names: words.names(places.map((place) => place.Title)) });

async function search(event) {
  event.preventDefault();
  const q = byId("search-input").value.trim();
  if (!q) return closeSearch();
  try {
    const found = await get("/api/search" + query({ q, n: 8 }));
    Object.assign(shop, { query: q, found });
    drawFound();
    calm();
    announce(t("found", { n: found.length, q }));
    byId("h-search").focus();
  } catch (error) {
    fail(error);
  }
}

function closeSearch() {
  Object.assign(shop, { query: "", found: null });
  byId("search-input").value = "";
  drawFound();
  announce("");
  byId("search-input").focus();
}

function drawShop() {
  drawUsers();
  drawHistory();
  drawSlate();
  drawFound();
}

function drawUsers() {
  const typed = byId("shopper-input").value.trim().toLowerCase();
  const fits = (user) => [user.UserId, ...Object.values(user.Labels ?? {})].some((text) => text.toLowerCase().includes(typed));
  const rows = shop.users.filter(fits).map((user) => {
    const about = [t("eventCount", { n: words.number(user.Events) }), ...Object.values(user.Labels ?? {})].join(" · ");
    const props = user.UserId === shop.user ? { "aria-current": "true" } : {};
    return el("li", {}, el("a", { href: shopAddress(user.UserId), ...props }, el("b", {}, user.UserId), el("span", {}, about)));
  });
  byId("shopper-list").replaceChildren(...(rows.length || !shop.users.length ? rows : [el("li", {}, note(t("noShopper")))]));
  byId("shopper-more").hidden = !shop.cursor;
}

function drawHistory() {
  const rows = shop.history ?? [];
  const key = !shop.history ? (shop.failed ? "failed" : "loading") : rows.length ? "historyNote" : "historyEmpty";
  byId("history-note").textContent = t(key, { user: shop.user });
  byId("history").replaceChildren(...rows.map((event) => eventRow(event, false)));
  byId("history").classList.toggle("few", !shop.all);
  const all = byId("history-all");
  all.hidden = rows.length <= 6;
  all.textContent = shop.all ? t("historyFew") : t("historyAll", { n: rows.length });
  all.setAttribute("aria-expanded", shop.all);
}

function drawSlate() {
  const place = focused();
  const slate = byId("slate");
  byId("h-slate").textContent = t("slateTitle", { user: shop.user });
  byId("decision").textContent = shop.decision && t("decision", { id: shop.decision });
  const best = Math.max(...(shop.slate ?? []).map((place) => place.Score));
  const cards = (shop.slate ?? []).map((place) => slateCard(place, best));
  if (!cards.length) cards.push(vacant(shop.slate, shop.failed, "slateEmpty", loadShopper));
  slate.replaceChildren(...cards);
  slate.setAttribute("aria-busy", String(!shop.slate && !shop.failed));
  if (place) refocus(place);
}

/** Which button of the slate holds the focus: it would be lost with its card. */
function focused() {
  const active = document.activeElement;
  const card = byId("slate").contains(active) && active.closest("article");
  if (!card) return null;
  return { item: card.dataset.item, index: [...byId("slate").children].indexOf(card), act: active.dataset.act };
}

function refocus({ item, index, act }) {
  const cards = [...byId("slate").querySelectorAll("article")];
  const card = cards.find((card) => card.dataset.item === item) ?? cards[Math.min(index, cards.length - 1)];
  (card?.querySelector(act ? `[data-act="${act}"]` : ".title") ?? byId("h-slate")).focus({ preventScroll: true });
}

function drawFound() {
  byId("search-part").hidden = !shop.found;
  if (!shop.found) return byId("search-results").replaceChildren();
  byId("h-search").textContent = t("searchTitle", { q: shop.query });
  const cards = shop.found.map((hit) => card(hit.Id, hit.Title, [measure("match", words.exact(hit.Score, 2), hit.Score)]));
  byId("search-results").replaceChildren(...(cards.length ? cards : [note(t("searchNone"))]));
}

// ---- cards and rows

const titleButton = (item, title) => button(".title", () => openProduct(item), title || item);

function measure(key, text, part) {
  return el("div.measure", {}, el("span", {}, t(key)), el("b", {}, text), part !== undefined && bar(part));
}

function acts(item, title) {
  const one = (kind) => {
    const node = button(kind === "buy" ? ".primary" : "", () => act(kind, item, title), t(kind));
    node.dataset.act = kind;
    node.setAttribute("aria-label", t("actLabel", { act: t(kind), title }));
    return node;
  };
  return el("div.buttons", {}, KINDS.map(one));
}

function card(item, title, inside, badges = []) {
  const head = el("header", {}, el("h3", {}, titleButton(item, title)), badges);
  return el("article.card", { "data-item": item }, head, inside, acts(item, title));
}

function slateCard(place, best) {
  const badges = [
    shop.fresh.has(place.ItemId) && el("span.badge.fresh", {}, t("isNew")),
    place.Explored && el("span.badge.explore", {}, t("exploring")),
  ];
  const measures = el("div.measures", {}, measure("score", words.exact(place.Score, 2), best > 0 ? place.Score / best : 0), measure("chance", words.percent(place.Propensity)));
  return card(place.ItemId, place.Title, [measures, el("p.reason", {}, words.reason(place)), why(place)], badges);
}

/** The parts as steps of a sum, then the rules; it stays open when the slate is drawn again. */
function why(place) {
  let sum = 0;
  const ends = place.Parts.map((part) => (sum += part.value));
  const axis = [Math.min(0, ...ends, place.Score), Math.max(0, ...ends, place.Score)];
  const row = (label, value, from, to, kind) =>
    el("li." + kind, {}, el("span", {}, label), el("b", {}, words.signed(value)), step(from, to, axis, kind));
  const parts = place.Parts.map((part, i) => row(words.cause(part), part.value, ends[i] - part.value, ends[i], part.value < 0 ? "against" : "for"));
  const total = row(t("score"), place.Score, 0, place.Score, "total");
  const rules = place.Rules.length > 0 && [el("h4", {}, t("rules")), el("ul", {}, place.Rules.map((text) => el("li", {}, words.rule(text))))];
  const toggled = (event) => shop.open[event.target.open ? "add" : "delete"](place.ItemId);
  const props = { open: shop.open.has(place.ItemId), ontoggle: toggled };
  return el("details", props, el("summary", {}, t("why")), el("ol.parts", {}, parts, total), rules);
}

function eventRow(event, withUser) {
  const did = words.kind(event.FeedbackType) + (event.FeedbackType === "rate" ? ` ${words.number(event.Value)}` : "");
  const user = withUser && [el("a", { href: shopAddress(event.UserId) }, event.UserId), " · "];
  const at = event.Timestamp && [" · ", el("time", { datetime: event.Timestamp }, words.when(event.Timestamp))];
  return el("li", {}, titleButton(event.ItemId, event.Title), el("span", {}, user, did, at));
}

function itemRow(item) {
  const about = [item.Categories.join(", "), item.Price !== null && words.exact(item.Price, 2), item.IsHidden && t("hidden")];
  return el("li", {}, titleButton(item.ItemId, item.Title), el("span", {}, about.filter(Boolean).join(" · ")));
}

// ---- the product panel

async function openProduct(id) {
  const panel = byId("product");
  const top = (title) => el("div.head", {}, el("h2", { id: "product-title", tabindex: -1 }, title), button(".quiet", () => panel.close(), t("close")));
  panel.replaceChildren(top(t("loading")));
  panel.dataset.item = id;
  if (!panel.open) panel.showModal();
  const [item, similar] = await Promise.allSettled([get(path("api", "item", id)), get(path("api", "item-to-item", "similar", id) + query({ n: 6 }))]);
  if (panel.dataset.item !== id) return;
  if (item.status === "rejected") {
    const [message, remedy] = words.refusal(item.reason);
    panel.replaceChildren(top(id), el("p", { role: "alert" }, message, el("br"), remedy));
  } else {
    panel.replaceChildren(top(item.value.Title || id), ...aboutItem(item.value), ...near(similar));
  }
  panel.scrollTop = 0;
  byId("product-title").focus();
}

function aboutItem(item) {
  const facts = [
    [t("category"), item.Categories.join(", ")],
    [t("price"), item.Price === null ? "" : words.exact(item.Price, 2)],
    [t("id"), item.ItemId],
    ...Object.entries(item.Labels ?? {}).map(([name, value]) => [name.replaceAll("_", " "), String(value)]),
  ].filter(([, value]) => value);
  return [
    item.IsHidden && el("p", {}, el("span.badge", {}, t("hidden"))),
    el("dl.facts", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    item.Text && el("h3", {}, t("reads")),
    item.Text && el("blockquote", {}, item.Text),
    shop.user && el("p.note", {}, t("actFor", { user: shop.user })),
    shop.user && acts(item.ItemId, item.Title),
    el("p.said", { role: "status" }),
  ].filter(Boolean);
}

function near({ value, status }) {
  const row = (hit) => el("li", {}, titleButton(hit.Id, hit.Title), el("span", {}, `${t("match")} ${words.exact(hit.Score, 2)}`));
  const missing = note(t(status === "fulfilled" ? "similarNone" : "failed"));
  return [el("h3", {}, t("similar")), value?.length ? el("ul.rows", {}, value.map(row)) : missing];
}

// ---- pages of items and events

/** A list that is read a page at a time; the cursors of the pages before make the way back. */
function pages(id, address, field, row, empty) {
  const state = { cursors: [""], next: "", rows: null, failed: false };
  async function load(cursors) {
    try {
      const page = await get(address + query({ n: PAGE, cursor: cursors.at(-1) }));
      Object.assign(state, { cursors, next: page.Cursor, rows: page[field], failed: false });
      calm();
    } catch (error) {
      state.failed = true;
      fail(error);
    }
    draw();
  }
  async function turn(cursors, back) {
    await load(cursors);
    window.scrollTo(0, 0);
    const ends = byId(id + "-pager").querySelectorAll("button");
    [...(back ? ends : [...ends].reverse())].find((end) => !end.disabled)?.focus({ preventScroll: true });
  }
  function draw() {
    const rows = state.rows?.map(row) ?? [];
    byId(id).replaceChildren(...(rows.length ? rows : [el("li", {}, vacant(state.rows, state.failed, empty, () => load(state.cursors)))]));
    const before = button(".quiet", () => turn(state.cursors.slice(0, -1), true), t("before"));
    const after = button(".quiet", () => turn([...state.cursors, state.next], false), t("after"));
    before.disabled = state.cursors.length < 2;
    after.disabled = !state.next;
    const number = el("span", { role: "status" }, t("pageNumber", { n: state.cursors.length }));
    byId(id + "-pager").replaceChildren(before, number, after);
  }
  return { draw, show: () => (draw(), load(state.cursors)), first: () => load([""]) };
}

const catalogue = pages("items", "/api/items", "Items", itemRow, "catalogueEmpty");
const events = pages("feedback", "/api/feedback", "Feedback", (event) => eventRow(event, true), "eventsEmpty");

// ---- routes, language, theme

const views = {
  shop: showShop,
  catalogue: catalogue.show,
  events: events.first,
  quality: () => showQuality(),
  health: () => showHealth(),
};
let current = "";

function argument(text = "") {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  const [, name, ...rest] = location.hash.split("/");
  const next = Object.hasOwn(views, name) ? name : "shop";
  if (current && next !== current) window.scrollTo(0, 0);
  current = next;
  calm();
  if (byId("product").open) byId("product").close();
  if (next !== "health") hideHealth();
  for (const view of Object.keys(views)) {
    byId("view-" + view).hidden = view !== next;
    if (view === next) byId("nav-" + view).setAttribute("aria-current", "page");
    else byId("nav-" + view).removeAttribute("aria-current");
  }
  entitle();
  Promise.resolve(views[next](argument(rest.join("/")))).catch(fail);
}

const entitle = () => (document.title = `${t(current)} · Lingxi 灵犀`);

const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function drawWords() {
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-l]")) node.setAttribute("aria-label", t(node.dataset.l));
  for (const node of document.querySelectorAll("[data-p]")) node.setAttribute("placeholder", t(node.dataset.p));
  byId("glossary").replaceChildren(...words.terms().flatMap(([term, said]) => [el("dt", {}, term), el("dd", {}, said)]));
  byId("lang-toggle").textContent = t("otherLanguage");
  byId("lang-toggle").lang = words.language() === "en" ? "zh-CN" : "en";
  drawTheme();
  drawFoot();
}

function drawTheme() {
  const label = t(isDark() ? "toLight" : "toDark");
  byId("theme-toggle").setAttribute("aria-label", label);
  byId("theme-toggle").title = label;
}

let server = null;

function drawFoot() {
  byId("foot").textContent = server ? t("foot", { version: server.Version, about: server.About }) : "";
  byId("shop-name").textContent = server?.Name ?? "";
}

function changeLanguage() {
  words.otherLanguage();
  drawWords();
  entitle();
  announce("");
  drawShop();
  [catalogue.draw, events.draw, drawQuality, drawHealth].forEach((draw) => draw());
}

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  words.memory.set("lingxi-theme", document.documentElement.dataset.theme);
  drawTheme();
}

function listen() {
  const on = (id, event, does) => byId(id).addEventListener(event, does);
  on("shopper-form", "submit", (event) => {
    event.preventDefault();
    const typed = byId("shopper-input").value.trim();
    byId("shopper-input").value = "";
    if (typed) go(typed);
  });
  on("shopper-input", "input", drawUsers);
  on("shopper-more", "click", moreUsers);
  on("shopper-new", "click", invent);
  on("history-all", "click", () => ((shop.all = !shop.all), drawHistory()));
  on("search-form", "submit", search);
  on("search-close", "click", closeSearch);
  on("lang-toggle", "click", changeLanguage);
  on("theme-toggle", "click", changeTheme);
  on("product", "click", (event) => event.target === byId("product") && byId("product").close());
  on("product", "close", () => (byId("product").dataset.item = ""));
  document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), byId(current === "shop" ? "h-slate" : "main").focus()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTheme);
  addEventListener("hashchange", route);
}

function start() {
  const theme = words.memory.get("lingxi-theme");
  if (["light", "dark"].includes(theme)) document.documentElement.dataset.theme = theme;
  words.firstLanguage();
  drawWords();
  listen();
  route();
  get("/api/dashboard/stats").then((stats) => ((server = stats), drawFoot())).catch(() => {}); // the page works without a name
}

start();
