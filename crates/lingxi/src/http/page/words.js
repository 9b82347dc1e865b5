// Says things in the chosen language. In: a key of texts.js and values, or data of the server; out: text.

import { CAUSES, GUARDED, KINDS, MEASURES, METRICS, MODELS, RULES, STAGES, TEXTS, VERDICTS, WHYS } from "./texts.js";

let at = 0;

/** Remembers what was chosen; a browser that forbids storage only forgets. */
export const memory = {
  get(key) {
    try { return localStorage.getItem(key); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, value); } catch { /* private window */ }
  },
};

export const language = () => ["en", "zh-CN"][at];

/** The language that was chosen before, else that of the browser. */
export function firstLanguage() {
  setLanguage(memory.get("lingxi-language") ?? navigator.language ?? "en");
}

function setLanguage(name) {
  at = name.toLowerCase().startsWith("zh") ? 1 : 0;
  document.documentElement.lang = language();
}

export function otherLanguage() {
  setLanguage(at ? "en" : "zh");
  memory.set("lingxi-language", language());
}

const put = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const say = (pair, values = {}) => put(pair[at], values);

export const t = (key, values) => say(TEXTS[key], values);
export const saved = (kind, values) => say(TEXTS.saved[kind], values);
export const terms = () => TEXTS.terms.map((pair) => pair[at]);
export const kind = (name) => (KINDS[name] ? say(KINDS[name]) : name);
export const kinds = () => Object.entries(KINDS).map(([name, pair]) => [name, say(pair)]);
export const metricSaid = (name) => say(METRICS[name.split("@")[0]] ?? ["", ""]);
export const modelSaid = (name) => (MODELS[name] ? say(MODELS[name]) : "");
export const measure = (name) => (MEASURES[name] ? say(MEASURES[name][0]) : name);
export const measureSaid = (name) => (MEASURES[name] ? say(MEASURES[name][1]) : "");
export const verdict = (name) => (VERDICTS[name] ? say(VERDICTS[name]) : "");
export const guarded = (name) => (GUARDED[name] ? say(GUARDED[name]) : "");
export const why = (text) => (WHYS[text] ? say(WHYS[text]) : text);
export const refusal = (error) =>
  error.message === "unreachable" ? [t("unreachable"), t("unreachableRemedy")] : [error.message, error.remedy ?? ""];

export const number = (value, digits = 2) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
export const exact = (value, digits = 4) => Number(value).toFixed(digits);
export const signed = (value) => (value < 0 ? "−" : "+") + exact(Math.abs(value));
export const percent = (value) => new Intl.NumberFormat(language(), { style: "percent", maximumSignificantDigits: 2 }).format(value);
export const list = (names) => names.join(at ? "、" : ", ");

/** At most three names, so that the line stays a line. */
export function names(titles) {
  const quoted = titles.slice(0, 3).map((title) => `“${title}”`);
  const n = titles.length - 3;
  return n > 0 ? t("andMore", { names: list(quoted), n: at ? titles.length : n }) : list(quoted);
}

/** What the server calls a time, text or seconds since 1970. */
export const moment = (at) => new Date(typeof at === "number" ? at * 1000 : at);

const dated = (style, at) => new Intl.DateTimeFormat(language(), style).format(at);

/** A moment in the reader's own zone; an event without one has only its place in the order. */
export const when = (at) => (at ? dated({ dateStyle: "medium", timeStyle: "short" }, moment(at)) : "");

/** The same in a narrow column. */
export const shortly = (at) => dated({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }, moment(at));

/** A day on an axis, from milliseconds. */
export const day = (at) => dated({ month: "short", day: "numeric" }, at);

/** 3:07:09, or 7:09 */
export function lasting(seconds) {
  const two = (value) => String(Math.floor(value) % 60).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return (hours ? `${hours}:${two(seconds / 60)}` : Math.floor(seconds / 60)) + ":" + two(seconds);
}

/** A stage of a build: "measure habit" is known by its first word. */
export function stage(name) {
  const known = Object.keys(STAGES).find((word) => name === word || name.startsWith(word + " "));
  return known ? [say(STAGES[known]), name.slice(known.length)].join("") : name;
}

/** What a shop says of a shopper or a good: `[[name, text], ...]`; a value may be any JSON. */
export const labels = (all) =>
  Object.entries(typeof all === "object" ? all ?? {} : { label: all }).map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)]);

/** One part of a score in a few words. */
export function cause(part) {
  const past = part.past ? `“${part.past.title}”` : "";
  const more = part.past?.more ? (at ? `等 ${part.past.more + 1} 件` : ` and ${part.past.more} more`) : "";
  const words = part.words?.length ? ` (${part.words.join(", ")})` : "";
  const values = { past: past + more, category: part.category ?? "", n: part.merged ?? 1 };
  return (CAUSES[part.by] ? say(CAUSES[part.by], values) : part.sentence ?? part.model ?? part.by ?? "") + words;
}

/** Why an item is shown: the server's English sentence, or the same said in Chinese from the parts. */
export const reason = (place) => (at ? chinese(place) : place.Reason);

// Follows the server's rule: two causes from the past, one for each item, then two others; only what speaks for the item.
function chinese({ Parts, Explored }) {
  const good = Parts.filter((part) => part.value > 0);
  const past = good.filter((part, i) => part.past && good.findIndex((p) => p.past?.id === part.past.id) === i);
  const others = good.filter((part) => ["repeat", "popular", "trending", "popular_in_category"].includes(part.by));
  const because = past.slice(0, 2).map((part) => `您${did(part.past.kind)}“${part.past.title}”${part.past.more ? `等 ${part.past.more + 1} 件同类` : ""}${part.words?.length ? `（${part.words.join("、")}）` : ""}`);
  const said = [because.length ? `因为${because.join("，")}` : "", ...others.slice(0, 2).map(cause)].filter(Boolean);
  return (said.join("；") || "目前还没有支持它的理由") + "。" + (Explored ? "展示它是为了了解您是否喜欢。" : "");
}

const did = (name) => ({ rate: "评价过", cart: "加购过", buy: "买过", view: "看过", click: "点击过", search: "搜索过" })[name] ?? "选过";

export const rule = (text) => (at ? RULES.reduce((said, [from, to]) => said.replace(from, to), text) : text);
