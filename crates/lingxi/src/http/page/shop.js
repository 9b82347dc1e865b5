// The shop: who looks, what they did, what they are shown, what they search. In: the server's answers and what the reader
// presses; out: the view "shop" of index.html.

import { ask, get, path, post, query } from "./api.js";
import { interestRow } from "./interests.js";
import { byId, el } from "./draw.js";
import { eventRow, foundCard, shopAddress, slateCard } from "./goods.js";
import { announce, calm, fail, vacant } from "./notice.js";
import * as words from "./words.js";
const { t } = words;

const SLATE = 12;
const PAGE = 50;
const INTERESTS = 5;

/** How much the policy may explore. */
const explore = () => byId("explore").value;

export const shop = { user: "", history: null, interests: null, all: false, slate: null, failed: false, decision: "", fresh: new Set(), open: new Set(), query: "", found: null, turn: 0, busy: false };

// ---- who looks

const pick = { users: null, cursor: "", turn: 0, timer: 0 };
const typed = () => byId("shopper-input").value.trim();
const go = (user) => (location.hash = shopAddress(user));
const invent = () => go(`new-${1000 + Math.floor(Math.random() * 9000)}`);

/** Reads the shoppers that fit what is typed: the first of them, or more of them. */
async function readUsers(more) {
  const turn = ++pick.turn;
  try {
    const page = await get("/api/users" + query({ q: typed(), n: 20, cursor: more ? pick.cursor : "" }));
    if (turn !== pick.turn) return;
    pick.users = more ? [...pick.users, ...page.Users] : page.Users;
    pick.cursor = page.Cursor;
    drawUsers();
  } catch (error) {
    if (turn === pick.turn) fail(error);
  }
}

/** Asks when the reader pauses, not at every letter. */
function filterUsers() {
  clearTimeout(pick.timer);
  pick.timer = setTimeout(readUsers, 300);
}

function openTyped(event) {
  event.preventDefault();
  const user = typed();
  clearTimeout(pick.timer);
  byId("shopper-input").value = "";
  if (!user) return;
  readUsers();
  go(user);
}

function drawUsers() {
  const rows = (pick.users ?? []).map((user) => {
    const about = [t("eventCount", { n: words.number(user.Events ?? 0) }), ...words.labels(user.Labels).map(([, text]) => text)].join(" · ");
    return el("li", {}, el("a", { href: shopAddress(user.UserId) }, el("b", {}, user.UserId), el("span", {}, about)));
  });
  byId("shopper-list").replaceChildren(...rows);
  byId("shopper-list").hidden = !rows.length;
  byId("shopper-more").hidden = !pick.cursor;
  const key = !typed() || !pick.users ? "shopperHelp" : pick.cursor ? "manyFit" : rows.length ? "fit" : "noShopper";
  byId("shopper-help").textContent = t(key, { n: rows.length });
  markUser();
}

/** Says in the list who looks; the links stay, and the focus with them. */
function markUser() {
  for (const link of byId("shopper-list").querySelectorAll("a")) {
    if (link.hash === shopAddress(shop.user)) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

export async function showShop(user) {
  if (!pick.users) await readUsers();
  if (!user && shop.user) return history.replaceState(null, "", shopAddress(shop.user));
  if (!user) return location.replace(shopAddress(pick.users?.[0]?.UserId ?? "new-1"));
  if (user === shop.user) return;
  Object.assign(shop, { user, history: null, interests: null, slate: null, failed: false, decision: "", all: false, fresh: new Set(), open: new Set() });
  announce("");
  drawShopper();
  await loadShopper();
}

// ---- what they did, and what they are shown

/** Reads history and slate; an answer for a shopper who is no longer looked at is dropped. */
async function loadShopper() {
  const [turn, user] = [++shop.turn, shop.user];
  byId("slate").setAttribute("aria-busy", "true");
  const asked = [
    get(path("api", "user", user, "feedback") + query({ n: PAGE })),
    ask(path("api", "recommend", user) + query({ n: SLATE, explain: true, explore: explore() })),
    get(path("api", "user", user, "interests") + query({ n: INTERESTS })),
  ];
  const [past, slate, interests] = await Promise.allSettled(asked);
  if (turn !== shop.turn) return false;
  if (past.status === "fulfilled") shop.history = past.value;
  if (interests.status === "fulfilled") shop.interests = interests.value;
  if (slate.status === "fulfilled") {
    shop.slate = slate.value.body;
    shop.decision = slate.value.headers.get("lingxi-decision") ?? "";
  }
  const failed = [past, slate, interests].find((answer) => answer.status === "rejected");
  shop.failed = Boolean(failed);
  drawShopper();
  if (failed) fail(failed.reason);
  else calm();
  return slate.status === "fulfilled";
}

/** Posts what the shopper did, then shows what that changed. */
export async function act(kind, item, title) {
  if (shop.busy) return;
  shop.busy = true;
  const [user, before] = [shop.user, shop.slate ?? []];
  try {
    await post("/api/feedback", [{ FeedbackType: kind, UserId: user, ItemId: item }]);
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

function drawShopper() {
  markUser();
  drawInterests();
  drawHistory();
  drawSlate();
}

function drawInterests() {
  const rows = shop.interests ?? [];
  const most = Math.max(...rows.map((interest) => interest.High));
  byId("interests").replaceChildren(...rows.map((interest) => interestRow(interest, most)));
  drawKnob();
}

function drawKnob() {
  const share = Number(explore());
  const key = share === 0 ? "exploreNone" : share === 1 ? "exploreAll" : "exploreSome";
  byId("explore-value").textContent = t(key, { share: words.percent(share) });
}

export function drawShop() {
  drawUsers();
  drawShopper();
  drawFound();
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
  const cards = (shop.slate ?? []).map((place) => slateCard(place, best, shop.fresh.has(place.ItemId), shop.open));
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

// ---- what they search

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

function drawFound() {
  byId("search-part").hidden = !shop.found;
  byId("h-search").textContent = t("searchTitle", { q: shop.query });
  const none = el("p.note", {}, t("searchNone"));
  byId("search-results").replaceChildren(...(shop.found?.length ? shop.found.map(foundCard) : [none]));
}

export function listenShop() {
  const on = (id, event, does) => byId(id).addEventListener(event, does);
  on("shopper-form", "submit", openTyped);
  on("shopper-input", "input", filterUsers);
  on("shopper-more", "click", () => readUsers(true));
  on("shopper-new", "click", invent);
  on("explore", "input", drawKnob);
  on("explore", "change", loadShopper);
  on("history-all", "click", () => ((shop.all = !shop.all), drawHistory()));
  on("search-form", "submit", search);
  on("search-close", "click", closeSearch);
}
