// What the policy that answers has learnt while it served: what slates brought over time, whether that has changed, and the
// policies that one can go back to. In: /api/policy, read while somebody looks, and what the reader presses; out: the view
// "learning".

import { get, path, poll, post } from "./api.js";
import { curve } from "./charts.js";
import { byId, el, note, panel, renew, table } from "./draw.js";
import { attempt } from "./notice.js";
import { sure } from "./question.js";
import * as words from "./words.js";
const { t } = words;

const learning = { data: null, why: "loading", kept: "", stop: () => {} };

export function showLearning() {
  hideLearning();
  learning.stop = poll(read, () => 2000);
}

export const hideLearning = () => learning.stop();

async function read() {
  try {
    learning.data = await get("/api/policy");
  } catch (error) {
    learning.why = words.refusal(error).join(" ");
    learning.data = null;
  }
  drawLearning();
}

export function drawLearning() {
  const { data, why } = learning;
  byId("policy-keep").disabled = !data?.Learns;
  drawKept(data?.Learns ? data.Kept : null);
  if (!data) return renew(byId("learning"), why === "loading" ? note(t(why)) : note(why, read, t("again")));
  if (!data.Learns) return renew(byId("learning"), panel(data.Version, note(t("learnsNothing"))));
  renew(byId("learning"), now(data), rewards(data.Curve));
}

/** Drawn again only when it changed, so that no button goes from under the finger. */
function drawKept(policies) {
  const all = JSON.stringify([policies, words.language()]);
  if (all === learning.kept) return;
  learning.kept = all;
  renew(byId("policies"), policies && kept(policies));
}

function now({ Version, Lessons, WaitMinutes, Drift }) {
  const last = Drift.Last;
  const values = last && { n: words.number(Drift.Changes), slates: words.number(last.Slates), a: words.exact(last.Before), b: words.exact(last.After) };
  const drift = last ? t("driftSeen", values) : t("driftNone");
  return panel(t("policyNow"),
    el("p", {}, el("b", {}, Version)),
    el("p.note", {}, t("lessonsSaid", { n: words.number(Lessons), minutes: words.number(WaitMinutes) })),
    el(last ? "p.state.bad" : "p.state", { id: "drift" }, drift, " ", t("driftTension", { share: words.percent(Math.min(1, Drift.Tension)) })));
}

/** What slates brought, how much was explored, and whether exploring paid: each a line over time, and the same as a table. */
function rewards(stretches) {
  if (!stretches.length) return panel(t("rewards"), note(t("rewardsNone")));
  const lines = [["Reward", "rewardSlate"], ["Explored", "exploredShare"], ["BestReward", "rewardBest"], ["ExploredReward", "rewardExplored"]];
  const drawn = lines.map(([field, name]) => line(stretches, field, t(name))).filter(Boolean);
  const cell = (value) => el("td", {}, value == null ? "–" : words.exact(value));
  const row = (s) =>
    el("tr", {}, el("th", { scope: "row" }, words.shortly(s.Until)), el("td", {}, words.number(s.Slates)), cell(s.Reward), el("td", {}, words.percent(s.Explored)), cell(s.BestReward), cell(s.ExploredReward));
  const heads = [t("until"), t("slates"), t("rewardSlate"), t("exploredShare"), t("rewardBest"), t("rewardExplored")];
  const asTable = el("details", { id: "rewards-table" }, el("summary", {}, t("asTable")), table(t("rewards"), heads, stretches.slice(-24).map(row)));
  asTable.open = byId("rewards-table")?.open ?? false;
  return panel(t("rewards"), el("p.note", {}, t("rewardsNote")), el("div.curves", {}, drawn), asTable);
}

function line(stretches, field, name) {
  const points = stretches.filter((s) => s[field] != null).map((s) => [words.moment(s.Until).getTime() / 1000, s[field]]);
  if (points.length < 2) return null;
  const label = t("rewardLabel", { name, a: words.exact(points[0][1]), b: words.exact(points.at(-1)[1]) });
  const yText = (value) => words.number(value, 4);
  return el("figure", {}, el("figcaption", {}, el("h3", {}, name)), curve({ points, x: "", y: "", label, xText: words.shortly, yText }));
}

function kept(policies) {
  if (!policies.length) return panel(t("keptPolicies"), note(t("keptPoliciesNone")));
  const row = (policy) =>
    el("tr", {},
      el("th", { scope: "row" }, words.shortly(policy.At), el("small", {}, t("numbered", { id: policy.Id }))),
      el("td", {}, words.number(policy.Lessons)),
      el("td", {}, words.exact(policy.Reward), policy.BackTo && el("small", {}, t("backTo", { id: policy.BackTo }))),
      el("td", {}, goBack(policy)));
  return panel(t("keptPolicies"), el("p.note", {}, t("keptPoliciesNote")), table(t("keptPolicies"), [t("keptAt"), t("lessons"), t("rewardSlate"), t("state")], policies.map(row)));
}

function goBack(policy) {
  const when = words.when(policy.At);
  const props = { type: "button", id: "policy-" + policy.Id, "aria-label": t("goBackLabel", { when }), onclick: () => use(policy.Id, when) };
  return el("button.quiet", props, t("goBack"));
}

async function use(id, when) {
  if (!(await sure(t("goBackTitle", { when }), t("goBackAsk"), t("goBack")))) return;
  await change(() => post(path("api", "policy", id, "use")), t("wentBack", { when }));
}

async function change(request, said) {
  await attempt(request, "learning-said", said);
  showLearning();
}

export const listenLearning = () => byId("policy-keep").addEventListener("click", () => change(() => post("/api/policy"), t("policyKept")));
