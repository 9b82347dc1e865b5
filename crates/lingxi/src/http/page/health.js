// How is the server doing? In: /api/dashboard/stats, /metrics and /health/ready, read while somebody looks; out: the view
// "health", with charts of the last five minutes.

import { get, poll, send } from "./api.js";
import { sparkline } from "./charts.js";
import { byId, el, note } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

const EVERY = 2000;
const LENGTH = 150;
const SHORTEST = 30;

/** Gauges and counters of /metrics, by the key of their text; what a server does not count is left out. */
const GAUGES = { underWay: "lingxi_http_under_way", queue: "lingxi_store_queue" };
const COUNTERS = {
  stored: "lingxi_events_stored_total",
  decisions: "lingxi_decisions_total",
  joined: "lingxi_feedback_joined_total",
  commits: "lingxi_store_commits_total",
  unknown: "lingxi_events_on_unknown_items_total",
};

const health = { stats: null, counts: {}, why: "", reached: false, before: null, series: {}, stop: () => {} };

export function showHealth() {
  hideHealth();
  drawHealth();
  health.stop = poll(read, () => EVERY);
}

export function hideHealth() {
  health.stop();
  health.before = null;
}

async function read() {
  const [stats, counts] = await Promise.allSettled([get("/api/dashboard/stats"), readCounts()]);
  health.reached = stats.status === "fulfilled";
  health.counts = counts.value ?? {};
  if (health.reached) remember(stats.value);
  else health.before = null;
  health.why = health.reached ? await whyNotReady(stats.value) : words.refusal(stats.reason).join(" ");
  drawHealth();
}

/** The numbers of Prometheus' text that have no labels. */
async function readCounts() {
  const response = await send("/metrics");
  const lines = (await response.text()).matchAll(/^(\w+) ([\d.e+]+)$/gm);
  return response.ok ? Object.fromEntries([...lines].map(([, name, value]) => [name, Number(value)])) : {};
}

async function whyNotReady(stats) {
  if (stats.Ready) return "";
  return get("/health/ready").then(() => "", (error) => words.refusal(error).join(" "));
}

/** Requests are counted from the start of the server, so a rate needs two readings. */
function remember(stats) {
  const at = performance.now();
  const { before } = health;
  if (before && stats.Requests >= before.stats.Requests) {
    const rate = (name) => (1000 * (stats[name] - before.stats[name])) / (at - before.at);
    keep("rate", rate("Requests"));
    keep("refusedRate", rate("Refused"));
  }
  keep("p50", stats.P50Ms);
  keep("p99", stats.P99Ms);
  for (const [key, name] of Object.entries(GAUGES)) if (name in health.counts) keep(key, health.counts[name]);
  Object.assign(health, { stats, before: { at, stats } });
}

function keep(key, value) {
  const values = (health.series[key] ??= []);
  values.push(value);
  if (values.length > LENGTH) values.shift();
}

/** The latest number, its line, and the highest of the line. */
function chart(key, text) {
  const values = health.series[key] ?? [];
  const drawn = values.length > 1 && [sparkline(values, Math.max(values.length, SHORTEST)), el("small", {}, t("atMost", { n: text(Math.max(...values)) }))];
  return el("div.tile.wide", {}, el("dt", {}, t(key)), el("dd", {}, values.length ? text(values.at(-1)) : "…", drawn));
}

const tile = ([key, value]) => el("div.tile", {}, el("dt", {}, t(key)), el("dd", {}, value));

export function drawHealth() {
  const { stats, reached, why } = health;
  if (!stats && !why) return byId("health").replaceChildren(note(t("loading")));
  const up = reached && stats.Ready;
  const lamp = el(up ? "span.lamp.on" : "span.lamp", { "aria-hidden": "true" }, up ? "✓" : "!");
  const state = el("p.state", {}, lamp, el("b", {}, t(up ? "ready" : "notReady")), " ", up ? t("readyNote") : why || t("notReadyNote"));
  byId("health").replaceChildren(state, ...(stats ? figures(stats) : []));
}

function figures(stats) {
  const [ms, count] = [(value) => t("ms", { n: words.number(value) }), (value) => words.number(value, 1)];
  const charts = [chart("rate", count), chart("refusedRate", count), chart("p50", ms), chart("p99", ms)];
  const counted = (names) => Object.entries(names).filter(([, name]) => name in health.counts);
  const gauges = counted(GAUGES).map(([key]) => chart(key, count));
  const stored = counted(COUNTERS).map(([key, name]) => [key, words.number(health.counts[name])]);
  const counts = [["requests", stats.Requests], ["refused", stats.Refused], ["users", stats.Users], ["goods", stats.Items], ["logEvents", stats.Events]];
  const tiles = [["uptime", words.lasting(stats.UptimeSeconds)], ...counts.map(([key, value]) => [key, words.number(value)])];
  return [
    el("dl.tiles", {}, charts, gauges),
    el("dl.tiles.small", {}, tiles.map(tile)),
    stored.length > 0 && el("h2", {}, t("storeTitle")),
    stored.length > 0 && el("dl.tiles.small", {}, stored.map(tile)),
    el("p.note", {}, `${t("snapshot")} ${stats.Snapshot}`),
  ].filter(Boolean);
}
