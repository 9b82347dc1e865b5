// What is served, what was built before it, and a build under way. In: /api/builds, read while somebody looks, and what the
// reader presses; out: the view "builds".

import { get, path, poll, post } from "./api.js";
import { curve } from "./charts.js";
import { byId, el, note, panel, renew, table } from "./draw.js";
import { attempt } from "./notice.js";
import { sure } from "./question.js";
import * as words from "./words.js";
const { t } = words;

const builds = { data: null, why: "loading", mark: null, kept: "", stop: () => {} };

export function showBuilds() {
  hideBuilds();
  builds.stop = poll(read, () => (builds.data?.Running ? 1000 : 10000));
}

export const hideBuilds = () => builds.stop();

async function read() {
  const before = builds.data;
  try {
    builds.data = await get("/api/builds");
  } catch (error) {
    builds.why = words.refusal(error).join(" ");
    builds.data = null;
  }
  drawBuilds();
  const [was, is] = [before?.Running, builds.data?.Running];
  if (is && is.Stage !== was?.Stage) say(words.stage(is.Stage));
  if (was && builds.data && !is) say(lastSaid(builds.data.Last));
}

const say = (text) => (byId("builds-said").textContent = text);

/** The table is drawn again only when it changed, so that no button goes from under the finger. */
export function drawBuilds() {
  const { data, why } = builds;
  byId("build-start").disabled = !data || Boolean(data.Running);
  byId("builds-now").replaceChildren(...(data ? [running(data), el("p.note", {}, schedule(data))] : [missing(why)]));
  const kept = JSON.stringify([data?.Kept, words.language()]);
  if (kept === builds.kept) return;
  builds.kept = kept;
  renew(byId("builds-kept"), ...(data?.Kept?.length ? [keptTable(data.Kept), overTime(data.Kept)] : []));
}

const missing = (why) => (why === "loading" ? note(t(why)) : note(why, read, t("again")));
const schedule = ({ EveryHours }) => (EveryHours ? t("everyHours", { n: words.number(EveryHours) }) : t("onCommand"));

function lastSaid(last) {
  if (!last) return t("lastNone");
  const values = { when: words.when(last.Finished), time: words.lasting(last.Seconds), error: last.Error ?? "" };
  return t(last.Ok ? "lastOk" : "lastFailed", values);
}

function running({ Running: run, Last }) {
  if (!run) return el(Last && !Last.Ok ? "p.state.bad" : "p.state", {}, lastSaid(Last));
  const rest = left(run);
  const facts = [
    run.Total ? t("doneOf", { done: words.number(run.Done), total: words.number(run.Total) }) : words.number(run.Done ?? 0),
    t("soFar", { time: words.lasting(run.Seconds) }),
    rest !== null && t("rest", { time: words.lasting(rest) }),
  ];
  const bar = el("progress", run.Total ? { max: run.Total, value: run.Done, "aria-label": t("progress") } : { "aria-label": t("progress") });
  return el("div.running", {}, el("b", {}, words.stage(run.Stage)), bar, el("span.note", {}, facts.filter(Boolean).join(" · ")));
}

/** Seconds that this stage still takes at the pace seen here; null until it is seen. */
function left({ Stage, Done, Total }) {
  const now = performance.now();
  if (builds.mark?.stage !== Stage || Done < builds.mark.done) builds.mark = { stage: Stage, done: Done, at: now };
  const pace = (Done - builds.mark.done) / (now - builds.mark.at);
  return Total && pace > 0 ? (Total - Done) / pace / 1000 : null;
}

function keptTable(kept) {
  const metric = kept.find((row) => row.Metric)?.Metric ?? t("metric");
  const line = (row) =>
    el(row.Serving ? "tr.strong" : "tr", {},
      el("th", { scope: "row" }, words.shortly(row.Built), el("small", {}, t("numbered", { id: row.Id }))),
      el("td", {}, words.number(row.Events), el("small", {}, t("goodsCount", { n: words.number(row.Items) }))),
      el("td", {}, row.Value == null ? "–" : words.exact(row.Value)),
      el("td", {}, row.Serving ? el("span.badge.fresh", {}, t("serving")) : serveButton(row)));
  return panel(t("kept"), el("p.note", {}, t("keptNote")), table(t("kept"), [t("built"), t("logEvents"), metric, t("state")], kept.map(line)));
}

function serveButton(row) {
  const props = { type: "button", id: "serve-" + row.Id, "aria-label": t("serveLabel", { when: words.when(row.Built) }), onclick: () => serve(row) };
  return el("button.quiet", props, t("serve"));
}

/** How the measured figure went from build to build, oldest first. */
function overTime(kept) {
  const metric = kept.find((row) => row.Metric)?.Metric;
  const measured = kept.filter((row) => row.Metric === metric && row.Value != null).reverse();
  if (measured.length < 2) return null;
  const points = measured.map((row) => [words.moment(row.Built).getTime(), row.Value]);
  const said = measured.map((row) => `${words.when(row.Built)}: ${words.exact(row.Value)}`);
  const label = t("overTimeLabel", { metric, said: words.list(said) });
  const yText = (value) => words.number(value, 4);
  return panel(t("overTime", { metric }), curve({ points, x: "", y: metric, label, xText: words.day, yText, dots: true }));
}

async function serve(row) {
  const when = words.when(row.Built);
  if (!(await sure(t("serveTitle", { when }), t("serveAsk"), t("serve")))) return;
  await change(() => post(path("api", "builds", row.Id, "publish")), t("served", { when }));
}

async function change(request, said) {
  await attempt(request, "builds-said", said);
  showBuilds();
}

export const listenBuilds = () => byId("build-start").addEventListener("click", () => change(() => post("/api/builds"), t("started")));
