// Quality and health. In: /api/dashboard/evaluation and /api/dashboard/stats; out: the charts and tables of the two views.

import { get } from "./api.js";
import { bar, byId, curves, dash, el, interval, note, span, sparkline } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

const FIRST = ["ndcg", "recall", "hr", "mrr", "coverage"];
const GROUPS = 12;

// ---- quality

const quality = { data: null, why: "loading", base: "ndcg", places: "10", all: false };

export async function showQuality() {
  drawQuality();
  if (quality.data) return;
  try {
    quality.data = await get("/api/dashboard/evaluation");
  } catch (error) {
    quality.why = error.status === 404 ? "qualityNone" : "failed";
    if (error.status !== 404) throw error;
  } finally {
    drawQuality();
  }
}

export function drawQuality() {
  const { data, why } = quality;
  if (!data) return byId("quality").replaceChildren(note(t(why), why === "failed" && (() => showQuality().catch(() => {})), t("again")));
  const parts = [compared, groups, tests, mix, learning, table, others].map((part) => part(data)).filter(Boolean);
  byId("quality").replaceChildren(...parts);
}

const ofKind = (data, kind) => data.others.filter((row) => row.kind === kind);
const panel = (title, ...inside) => el("section.panel", {}, el("h2", {}, title), inside);
const between = (pair, digits) => (pair ? `[${words.exact(pair[0], digits)}, ${words.exact(pair[1], digits)}]` : "");
const ourModels = (data) => [...ofKind(data, "model"), data.result];
const named = (row, data) => (row === data.result ? t("chosen", { model: row.model }) : row.model);

/** "ndcg" with 10 places is "ndcg@10"; some metrics have no places. */
function metric(data) {
  const at = `${quality.base}@${quality.places}`;
  return at in data.result.metrics ? at : quality.base;
}

/** The metrics that were measured: those that are asked for most come first. */
function bases(data) {
  const all = new Set(Object.keys(data.result.metrics).map((name) => name.split("@")[0]));
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...all].sort((a, b) => rank(a) - rank(b));
}

function placesOf(data) {
  const all = Object.keys(data.result.metrics).map((name) => name.split("@"));
  return all.filter(([base, k]) => base === quality.base && k).map(([, k]) => k).sort((a, b) => a - b);
}

function choice(id, label, options, chosen, change) {
  const nodes = options.map((value) => el("option", { value, selected: value === chosen }, value));
  const changed = (event) => {
    change(event.target.value);
    drawQuality();
    byId(id).focus();
  };
  return el("label", { for: id }, label, el("select", { id, onchange: changed }, nodes));
}

function protocolSaid({ split, protocol, seed, cases }) {
  return t("protocol", { split, protocol, seed, cases: words.number(cases) });
}

/** Rows of dots with intervals on one axis: `{name, note, value, pair, strong}`. */
function chart(rows) {
  const shown = rows.filter((row) => Number.isFinite(row.value));
  if (!shown.length) return note("–");
  const axis = span(shown.flatMap((row) => [row.value, ...(row.pair ?? [])]));
  const line = (row) =>
    el(row.strong ? "li.strong" : "li", {},
      el("span.name", {}, row.name, row.note && el("small", {}, row.note)),
      interval(row.value, row.pair, axis, row.strong),
      el("span.value", {}, el("b", {}, words.exact(row.value)), " ", between(row.pair)));
  return el("ul.chart", {}, shown.map(line));
}

function compared(data) {
  const name = metric(data);
  const row = (model) => ({ name: named(model, data), note: words.modelSaid(model.model), value: model.metrics[name], pair: model.interval[name], strong: model === data.result });
  const theirs = ofKind(data, "published").map((row) => ({ name: row.model, note: t("published"), value: row.metrics[name] }));
  const places = placesOf(data);
  const chosen = places.includes(quality.places) ? quality.places : places[0];
  const pick = el("div.choices", {},
    choice("metric", t("metric"), bases(data), quality.base, (value) => (quality.base = value)),
    places.length > 0 && choice("places", t("atK"), places, chosen, (value) => (quality.places = value)));
  const caption = el("p.note", {}, protocolSaid(data.result));
  return panel(t("models"), pick, el("p", {}, el("b", {}, name), " – ", words.metricSaid(name)), chart([...theirs, ...ourModels(data).map(row)]), caption);
}

function groups(data) {
  const rows = ofKind(data, "slice");
  if (!rows.length) return null;
  const name = metric(data);
  const shown = quality.all ? rows : rows.slice(0, GROUPS);
  const prefix = data.result.model + ", ";
  const row = (slice) => ({
    name: slice.model.startsWith(prefix) ? slice.model.slice(prefix.length) : slice.model,
    note: t("cases", { n: words.number(slice.cases) }), value: slice.metrics[name], pair: slice.interval[name],
  });
  const toggle = () => ((quality.all = !quality.all), drawQuality(), byId("groups-all").focus());
  const label = quality.all ? t("historyFew") : t("showAll", { n: rows.length });
  const props = { id: "groups-all", type: "button", onclick: toggle, "aria-expanded": String(quality.all) };
  return panel(t("groups"), el("p.note", {}, t("groupsNote", { metric: name })), chart(shown.map(row)), rows.length > GROUPS && el("button.quiet", props, label));
}

/** A difference is real if its interval leaves out zero. */
function tests(data) {
  const rows = ofKind(data, "paired test");
  if (!rows.length) return null;
  const said = (test) => {
    const [low, high] = test.interval;
    const verdict = low > 0 ? "better" : high < 0 ? "worse" : "same";
    const i = `[${words.signed(low)}, ${words.signed(high)}]`;
    const p = test.p < 0.0001 ? "0.0001" : words.exact(test.p);
    return el("li." + verdict, {}, t(verdict, { a: test.model, b: test.against, d: words.signed(test.difference), i, p }));
  };
  return panel(t("tests"), el("p.note", {}, t("testsNote", { metric: rows[0].metric })), el("ul.verdicts", {}, rows.map(said)));
}

function mix(data) {
  const weights = data.result.weights ?? [];
  if (!weights.length) return null;
  const row = ({ model, weight }) => el("li", {}, el("span.name", {}, model), bar(weight), el("span.value", {}, words.percent(weight)));
  return panel(t("mix"), el("p.note", {}, t("mixNote")), el("ul.chart", {}, weights.map(row)));
}

function learning(data) {
  const lines = (data.curves ?? data.result.curves ?? []).filter((line) => line.values.length > 1);
  if (!lines.length) return null;
  const drawn = [...new Set(lines.map((line) => line.metric))].flatMap((name) => {
    const own = lines.filter((line) => line.metric === name);
    const said = own.map((line) => t("curvesLine", { model: line.model, a: words.exact(line.values[0]), b: words.exact(line.values.at(-1)) }));
    const legend = el("ul.legend", {}, own.map((line, i) => el("li", {}, dash(i), line.model)));
    return [el("h3", {}, name), curves(own, t("curvesLabel", { metric: name, lines: said.join(" ") }), (n) => words.number(n, 3)), legend];
  });
  return panel(t("curvesTitle"), drawn);
}

function table(data) {
  const names = FIRST.map((base) => `${base}@${quality.places}`).filter((name) => name in data.result.metrics);
  const cell = (row, name) => el("td", {}, words.exact(row.metrics[name]), el("small", {}, between(row.interval[name])));
  const line = (row) =>
    el(row === data.result ? "tr.strong" : "tr", {}, el("th", { scope: "row" }, named(row, data)), names.map((name) => cell(row, name)));
  const head = el("tr", {}, el("th", { scope: "col" }, t("model")), names.map((name) => el("th", { scope: "col" }, name)));
  const whole = el("table", {}, el("caption", {}, el("span", {}, protocolSaid(data.result))), el("thead", {}, head), el("tbody", {}, ourModels(data).map(line)));
  return panel(t("table"), el("div.scroll", { tabindex: 0, role: "region", "aria-label": t("table") }, whole));
}

/** Other protocols, ratings, the index: a sentence each. */
function others(data) {
  const rows = ["protocol", "ratings", "index"].flatMap((kind) => ofKind(data, kind));
  if (!rows.length) return null;
  const said = (row) => {
    const names = Object.keys(row.metrics).filter((name) => row.kind !== "protocol" || FIRST.some((base) => name === `${base}@10`));
    const figures = names.map((name) => `${name} ${words.exact(row.metrics[name])} ${between(row.interval?.[name])}`);
    return el("li", {}, el("b", {}, row.model), ": ", words.list(figures), ". ", el("small", {}, protocolSaid(row)));
  };
  return panel(t("more"), el("ul.verdicts", {}, rows.map(said)));
}

// ---- health

const LENGTH = 60;
const EVERY = 2000;
const health = { timer: 0, stats: null, reached: false, before: null, rates: [], p99s: [] };

export function showHealth() {
  hideHealth();
  drawHealth();
  health.timer = setInterval(read, EVERY);
  return read();
}

export function hideHealth() {
  clearInterval(health.timer);
  health.timer = 0;
  health.before = null;
}

async function read() {
  if (document.hidden) return;
  try {
    const stats = await get("/api/dashboard/stats");
    remember(stats);
    Object.assign(health, { stats, reached: true });
  } catch {
    Object.assign(health, { reached: false, before: null });
  }
  if (health.timer) drawHealth();
}

/** Requests are counted from the start of the server, so a rate needs two readings. */
function remember(stats) {
  const now = { at: performance.now(), requests: stats.Requests };
  const { before } = health;
  if (before && now.requests >= before.requests) keep(health.rates, (1000 * (now.requests - before.requests)) / (now.at - before.at));
  health.before = now;
  keep(health.p99s, stats.P99Ms);
}

function keep(values, value) {
  values.push(value);
  if (values.length > LENGTH) values.shift();
}

/** 3:07:09 */
function lasting(seconds) {
  const two = (value) => String(Math.floor(value) % 60).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${two(seconds / 60)}:${two(seconds)}`;
}

function tile(label, value, values) {
  return el(values ? "div.tile.wider" : "div.tile", {}, el("dt", {}, label), el("dd", {}, value, values?.length > 1 && sparkline(values, LENGTH)));
}

export function drawHealth() {
  const { stats, reached } = health;
  if (!stats && !reached && !health.timer) return byId("health").replaceChildren(note(t("loading")));
  const up = reached && stats.Ready;
  const state = el("p.state", {}, el(up ? "span.lamp.on" : "span.lamp", { "aria-hidden": "true" }, up ? "✓" : "!"), el("b", {}, t(up ? "ready" : "notReady")), " ", t(up ? "readyNote" : "notReadyNote"));
  byId("health").replaceChildren(state, ...(stats ? [tiles(stats), el("p.note", {}, `${t("snapshot")} ${stats.Snapshot}`)] : []));
}

function tiles(stats) {
  const ms = (value) => t("ms", { n: words.number(value) });
  const rate = health.rates.length ? words.number(health.rates.at(-1), 1) : "…";
  const counts = [["requests", stats.Requests], ["refused", stats.Refused], ["newEvents", stats.NewEvents], ["users", stats.Users], ["goods", stats.Items], ["logEvents", stats.Events]];
  return el("dl.tiles", {},
    tile(t("rate"), rate, health.rates),
    tile(t("p99"), ms(stats.P99Ms), health.p99s),
    tile(t("p50"), ms(stats.P50Ms)),
    tile(t("uptime"), lasting(stats.UptimeSeconds)),
    counts.map(([key, value]) => tile(t(key), words.number(value))));
}
