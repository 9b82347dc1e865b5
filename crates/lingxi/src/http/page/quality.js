// How good is what is recommended? In: /api/dashboard/evaluation and /api/dashboard/curves; out: the charts and tables of
// the view "quality".

import { get } from "./api.js";
import { bar, curve, interval, span } from "./charts.js";
import { byId, el, note, panel, renew, table } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

const FIRST = ["ndcg", "recall", "hr", "mrr", "coverage"];
const GROUPS = 12;

const ROWS = 12;

const quality = { data: null, curves: [], why: "loading", base: "ndcg", places: "10", all: false };

export async function showQuality() {
  drawQuality();
  const [figures, learned] = await Promise.allSettled([get("/api/dashboard/evaluation"), get("/api/dashboard/curves")]);
  if (learned.status === "fulfilled") quality.curves = learned.value.Curves ?? [];
  if (figures.status === "fulfilled") quality.data = figures.value;
  const none = figures.reason?.status === 404;
  quality.why = none ? "qualityNone" : "failed";
  drawQuality();
  if (figures.reason && !none) throw figures.reason;
}

export function drawQuality() {
  const { data, why } = quality;
  const missing = () => note(t(why), why === "failed" && (() => showQuality().catch(() => {})), t("again"));
  const parts = data ? [compared, groups, tests, mix, learning, all, others].map((part) => part(data)) : [missing(), learning()];
  renew(byId("quality"), ...parts);
}

const ofKind = (data, kind) => data.others.filter((row) => row.kind === kind);
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
  const changed = (event) => (change(event.target.value), drawQuality());
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
  const toggle = () => ((quality.all = !quality.all), drawQuality());
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

/** A small chart for each model that learns, and the same as a table. */
function learning() {
  const finite = (line) => ({ ...line, Points: (line.Points ?? []).filter((point) => Number.isFinite(point[1])) });
  const lines = quality.curves.map(finite).filter((line) => line.Points.length > 1);
  return lines.length > 0 && panel(t("curvesTitle"), el("p.note", {}, t("curvesNote")), el("div.curves", {}, lines.map(learned)));
}

function learned({ Model, Metric, Points }) {
  const text = (value) => words.number(value, 4);
  const [first, last] = [Points[0], Points.at(-1)];
  const values = { model: Model, metric: Metric, a: text(first[1]), b: text(last[1]), n: text(last[0]) };
  const every = Math.ceil(Points.length / ROWS);
  const rows = Points.filter((_, i) => i % every === 0 || i === Points.length - 1).map(([x, y]) => el("tr", {}, el("th", { scope: "row" }, text(x)), el("td", {}, text(y))));
  const label = t("curveLabel", values);
  return el("figure", {},
    el("figcaption", {}, el("h3", {}, Model), el("p.note", {}, t("curveSaid", values))),
    curve({ points: Points, x: t("steps"), y: Metric, label, xText: text, yText: text }),
    el("details", {}, el("summary", {}, t("asTable")), table(label, [t("steps"), Metric], rows)));
}

function all(data) {
  const names = FIRST.map((base) => `${base}@${quality.places}`).filter((name) => name in data.result.metrics);
  const cell = (row, name) => el("td", {}, words.exact(row.metrics[name]), el("small", {}, between(row.interval[name])));
  const line = (row) =>
    el(row === data.result ? "tr.strong" : "tr", {}, el("th", { scope: "row" }, named(row, data)), names.map((name) => cell(row, name)));
  return panel(t("table"), table(t("table"), [t("model"), ...names], ourModels(data).map(line), protocolSaid(data.result)));
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
