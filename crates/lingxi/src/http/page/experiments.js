// What is tried on the shoppers, and what it says. In: /api/experiments, read while somebody looks, and what the reader
// presses; out: the view "experiments".

import { get, path, poll, post } from "./api.js";
import { difference, span } from "./charts.js";
import { byId, el, note, panel, renew, table } from "./draw.js";
import { attempt } from "./notice.js";
import { sure } from "./question.js";
import { drawTrial, listenTrial, settings } from "./trial.js";
import * as words from "./words.js";
const { t } = words;

const EVERY = 5000;
const held = { all: null, why: "loading", drawn: "", stop: () => {} };

export function showExperiments() {
  hideExperiments();
  held.stop = poll(read, () => EVERY);
}

export const hideExperiments = () => held.stop();

async function read() {
  try {
    held.all = (await get("/api/experiments")).Experiments;
  } catch (error) {
    held.all = null;
    held.why = words.refusal(error).join(" ");
  }
  drawExperiments();
}

/** Drawn again only when something changed, so that no button goes from under the finger. */
export function drawExperiments() {
  drawTrial();
  const { all, why } = held;
  const drawn = JSON.stringify([all, why, words.language()]);
  if (drawn === held.drawn) return;
  held.drawn = drawn;
  renew(byId("experiments"), ...(all ? (all.length ? all.map(sheet) : [note(t("experimentsNone"))]) : [missing(why)]));
}

const missing = (why) => (why === "loading" ? note(t(why)) : note(why, read, t("again")));

function sheet(one) {
  const runs = one.State === "running";
  const badge = el(runs ? "span.badge.fresh" : "span.badge", {}, t(runs ? "running" : "ended"));
  const stop = runs && el("button.quiet", { type: "button", id: "stop-" + one.Name, "aria-label": t("stopLabel", { name: one.Name }), onclick: () => stopIt(one.Name) }, t("stop"));
  const whole = panel(one.Name, el("div.head", {}, el("p.note", {}, one.About), el("div.buttons", {}, badge, stop)));
  whole.id = "experiment-" + one.Name;
  whole.classList.add("experiment");
  const part = one.Part[1] - one.Part[0];
  const facts = t("experimentFacts", { when: words.when(one.Started), layer: one.Layer, part: words.percent(part) });
  const said = [el("p.note", {}, facts), ended(one), ...one.Arms.filter((arm) => arm.Stopped).map((arm) => stoppedArm(one, arm)), arms(one), sizes(one)];
  whole.append(...[...said, ...one.Metrics.map((metric) => measured(one, metric)), guardrails(one)].filter(Boolean));
  return whole;
}

const ended = (one) => one.Ended && el("p.state.ended", {}, t("endedOn", { when: words.when(one.Ended), why: words.why(one.Why) }));

function stoppedArm(one, arm) {
  const by = one.Guardrails.find((guard) => guard.Arms.some(({ Arm, State }) => Arm === arm.Name && State === "stopped"));
  const metric = by ? words.measure(by.Metric) : "";
  return el("p.state.bad.stopped", { title: arm.Why }, t("armStopped", { arm: arm.Name, when: words.when(arm.Stopped), metric }));
}

function arms(one) {
  const line = (arm, place) =>
    el("tr", {},
      el("th", { scope: "row" }, arm.Name, el("small", {}, place ? settings(arm) : t("control"))),
      el("td", {}, words.percent(arm.Share)),
      el("td", {}, words.number(arm.Shoppers)),
      el("td", {}, arm.Stopped ? t("stopped") : one.State === "ended" ? t("ended") : t("goesOn")));
  return table(t("armsOf", { name: one.Name }), [t("arm"), t("share"), t("users"), t("state")], one.Arms.map(line));
}

function sizes({ SampleRatio: ratio, Arms }) {
  if (!ratio || !Arms.some((arm) => arm.Shoppers)) return null;
  const p = ratio.PValue < 0.0001 ? "< 0.0001" : "= " + words.exact(ratio.PValue);
  return el(ratio.Sound ? "p.note" : "p.state.bad", {}, t(ratio.Sound ? "sizesSound" : "sizesWrong", { p }));
}

/** Each arm's difference from the control, on one axis with zero and with what the guardrail tolerates. */
function measured(one, metric) {
  const guard = one.Guardrails.find((other) => other.Metric === metric.Metric);
  const known = metric.Compared.filter((row) => row?.Interval);
  const marks = [0, ...(guard && guard.Bar ? [guard.Bar] : [])];
  const axis = span([...marks, ...known.flatMap((row) => [row.Difference, ...row.Interval])]);
  const head = el("h3", {}, words.measure(metric.Metric), " ", el("small.note", {}, words.measureSaid(metric.Metric)));
  const mean = (arm) => words.number(metric.Means[arm], 4);
  const control = el("p.note", {}, t("controlMean", { arm: one.Arms[0].Name, mean: mean(0) }), guard && ` ${t("barNote")}`);
  const row = (compared, place) =>
    el("li", {},
      el("span.name", {}, one.Arms[place + 1].Name, el("small", {}, t("mean", { mean: mean(place + 1) }))),
      compared?.Interval ? difference(compared.Difference, compared.Interval, axis, guard?.Bar, compared.Verdict) : el("span"),
      el("span.value", {}, said(one, compared)));
  return el("section", {}, head, control, el("ul.chart", {}, metric.Compared.map(row)));
}

function said(one, compared) {
  if (!compared?.Interval) return t("early", { n: words.number(one.First) });
  const [low, high] = compared.Interval.map(words.signed);
  const saved = compared.VarianceSaved > 0.005 && [" ", el("small", {}, t("savedVariance", { share: words.percent(compared.VarianceSaved) }))];
  return [el("b", {}, words.signed(compared.Difference)), ` [${low}, ${high}] `, el("span." + compared.Verdict, {}, words.verdict(compared.Verdict)), saved];
}

const SIGNS = { holds: "better", stopped: "worse", open: "same", early: "same" };

function guardrails(one) {
  if (!one.Guardrails.length) return null;
  const line = (guard) =>
    guard.Arms.map(({ Arm, State }) =>
      el("li." + SIGNS[State], {}, t("guard", { metric: words.measure(guard.Metric), part: words.percent(guard.Tolerated), arm: Arm }), " ", el("b", {}, words.guarded(State))));
  return el("section", {}, el("h3", {}, t("guardrails")), el("ul.verdicts", {}, one.Guardrails.map(line)));
}

async function stopIt(name) {
  if (!(await sure(t("stopTitle", { name }), t("stopAsk"), t("stop")))) return;
  await change(() => post(path("api", "experiments", name, "stop"), {}), t("stoppedSaid", { name }));
}

/** Makes a change, says what was done, and reads again; whether it was done. */
async function change(request, text) {
  const done = await attempt(request, "experiments-said", text);
  await read();
  return done;
}

export const listenExperiments = () => listenTrial((experiment) => change(() => post("/api/experiments", experiment), t("startedSaid", { name: experiment.name })));
