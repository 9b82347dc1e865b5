// The panel of one good: what it is, what is near it, and why this shopper is shown it or not. In: its id and the shopper;
// out: the dialog of index.html.

import { get, path, query } from "./api.js";
import { button, byId, el, note } from "./draw.js";
import { acts, rules, sum, titleButton } from "./goods.js";
import * as words from "./words.js";
const { t } = words;

/** As long as the list of the shop. */
const SLATE = 12;

/** Opens the panel, at the explanation if the reader asked why. */
export async function openProduct(id, user, atWhy) {
  const box = byId("product");
  box.replaceChildren(...top(t("loading")));
  box.dataset.item = id;
  if (!box.open) box.showModal();
  const similar = get(path("api", "item-to-item", "similar", id) + query({ n: 6 }));
  const why = user ? get(path("api", "explain", user, id) + query({ n: SLATE })) : null;
  const [item, ...more] = await Promise.allSettled([get(path("api", "item", id)), similar, why]);
  if (box.dataset.item !== id) return;
  const parts = item.status === "rejected" ? broken(id, item.reason) : whole(item.value, user, more);
  box.replaceChildren(...parts.flat().filter(Boolean));
  box.scrollTop = 0;
  (atWhy && byId("product-why") || byId("product-title")).focus();
}

const whole = (item, user, [similar, why]) =>
  [...top(item.Title || item.ItemId), about(item), explained(why, user), near(similar), doing(item, user)];

function top(title) {
  const close = button(".quiet", () => byId("product").close(), t("close"));
  return [el("div.head", {}, el("h2", { id: "product-title", tabindex: -1 }, title), close)];
}

function broken(id, error) {
  const [message, remedy] = words.refusal(error);
  return [...top(id), el("p", { role: "alert" }, message, el("br"), remedy)];
}

function about(item) {
  const facts = [
    [t("category"), item.Categories.join(", ")],
    [t("price"), item.Price === null ? "" : words.exact(item.Price, 2)],
    [t("id"), item.ItemId],
    ...words.labels(item.Labels),
  ].filter(([, value]) => value);
  return [
    item.IsHidden && el("p", {}, el("span.badge", {}, t("hidden"))),
    el("dl.facts", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    item.Text && el("h3", {}, t("reads")),
    item.Text && el("blockquote", {}, item.Text),
  ];
}

/** What the shopper may do stays in sight at the foot of the panel. */
const doing = (item, user) =>
  user && [el("div.doing", {}, el("p.note", {}, t("actFor", { user })), acts(item.ItemId, item.Title), el("p.said", { role: "status" }))];

/** The place that it earns or the rule that keeps it away, its score and its parts; nothing if the server cannot say. */
function explained({ status, value }, user) {
  if (status !== "fulfilled" || !value) return null;
  const scored = Number.isFinite(value.Score) && value.Parts?.length > 0;
  return [
    el("h3", { id: "product-why", tabindex: -1 }, t("whyItem", { user })),
    el("p", {}, verdict(value)),
    scored && el("p.note", {}, words.reason(value)),
    scored && sum(value),
    rules(value),
  ].flat();
}

function verdict({ Place, Propensity, KeptAway, Rank, Candidates }) {
  if (Place) return t("placeOn", { n: Place, chance: words.percent(Propensity) });
  if (KeptAway) return t("placeRule", { rule: words.rule(KeptAway) });
  return Rank ? t("placeRank", { n: words.number(Rank), of: words.number(Candidates) }) : t("placeNone");
}

function near({ value, status }) {
  const row = (hit) => el("li", {}, titleButton(hit.Id, hit.Title), el("span", {}, `${t("match")} ${words.exact(hit.Score, 2)}`));
  const missing = note(t(status === "fulfilled" ? "similarNone" : "failed"));
  return [el("h3", {}, t("similar")), value?.length ? el("ul.rows", {}, value.map(row)) : missing];
}
