// Goods and events as cards and rows. In: what the server says of them; out: nodes. Their buttons carry data-open (a good)
// or data-act (what a shopper does with it); app.js hears them, so that a card need not know what happens then.

import { bar, step } from "./charts.js";
import { el } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

const KINDS = ["view", "cart", "buy"];

export const shopAddress = (user) => "#/shop/" + encodeURIComponent(user);

export const titleButton = (item, title) => el("button.title", { type: "button", "data-open": item }, title || item);

export function measure(key, text, part) {
  return el("div.measure", {}, el("span", {}, t(key)), el("b", {}, text), part !== undefined && bar(part));
}

export function acts(item, title) {
  const one = (kind) => {
    const props = { type: "button", "data-act": kind, "data-of": item, "data-title": title, "aria-label": t("actLabel", { act: t(kind), title }) };
    return el(kind === "buy" ? "button.primary" : "button", props, t(kind));
  };
  return el("div.buttons", {}, KINDS.map(one));
}

export function card(item, title, inside, badges = []) {
  const head = el("header", {}, el("h3", {}, titleButton(item, title)), badges);
  return el("article.card", { "data-item": item }, head, inside, acts(item, title));
}

/** Something found near a text: its likeness, and a way to ask why it is or is not recommended. */
export function foundCard(hit) {
  const label = t("actLabel", { act: t("whyShort"), title: hit.Title });
  const ask = el("button.quiet", { type: "button", "data-open": hit.Id, "data-why": true, "aria-label": label }, t("whyShort"));
  return card(hit.Id, hit.Title, [measure("match", words.exact(hit.Score, 2), hit.Score), el("div", {}, ask)]);
}

/** A place of the slate. `best` is the highest score of the slate, `fresh` says that it was not there before. */
export function slateCard(place, best, fresh, opened) {
  const badges = [fresh && el("span.badge.fresh", {}, t("isNew")), place.Explored && el("span.badge.explore", {}, t(place.Explores === "new_interest" ? "exploringNew" : "exploring"))];
  const measures = el("div.measures", {}, measure("score", words.exact(place.Score, 2), best > 0 ? place.Score / best : 0), measure("chance", words.percent(place.Propensity)));
  const toggled = (event) => opened[event.target.open ? "add" : "delete"](place.ItemId);
  const why = el("details", { open: opened.has(place.ItemId), ontoggle: toggled }, el("summary", {}, t("why")), sum(place), rules(place));
  return card(place.ItemId, place.Title, [measures, el("p.reason", {}, words.reason(place)), why], badges);
}

/** The parts of a score as steps that end at it. */
export function sum({ Parts, Score }) {
  let reached = 0;
  const ends = Parts.map((part) => (reached += part.value));
  const axis = [Math.min(0, ...ends, Score), Math.max(0, ...ends, Score)];
  const row = (label, value, from, to, kind) =>
    el("li." + kind, {}, el("span", {}, label), el("b", {}, words.signed(value)), step(from, to, axis, kind));
  const steps = Parts.map((part, i) => row(words.cause(part), part.value, ends[i] - part.value, ends[i], part.value < 0 ? "against" : "for"));
  return el("ol.parts", {}, steps, row(t("score"), Score, 0, Score, "total"));
}

export const rules = ({ Rules }) =>
  Rules?.length > 0 && [el("h4", {}, t("rules")), el("ul", {}, Rules.map((text) => el("li", {}, words.rule(text))))];

export function eventRow(event, withUser) {
  const did = words.kind(event.FeedbackType) + (event.FeedbackType === "rate" ? ` ${words.number(event.Value)}` : "");
  const user = withUser && [el("a", { href: shopAddress(event.UserId) }, event.UserId), " · "];
  const at = event.Timestamp && [" · ", el("time", { datetime: event.Timestamp }, words.when(event.Timestamp))];
  return el("li", {}, titleButton(event.ItemId, event.Title), el("span", {}, user, did, at));
}

export function itemRow(item) {
  const about = [item.Categories.join(", "), item.Price !== null && words.exact(item.Price, 2), item.IsHidden && t("hidden")];
  return el("li", {}, titleButton(item.ItemId, item.Title), el("span", {}, about.filter(Boolean).join(" · ")));
}
