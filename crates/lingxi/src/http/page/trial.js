// The form that starts an experiment with one arm beside the control. In: what the reader fills in; out: an experiment as
// the server takes it. Whoever wants more arms writes a file: lingxi experiment start.

import { byId, el } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

/** The policies that can be tried, each with its parameter and its usual value. */
const POLICIES = { served: null, greedy: null, "epsilon-greedy": ["epsilon", 0.1], softmax: ["temperature", 0.5] };

const policy = () => byId("new-policy").value || "served";
const explore = () => Number(byId("new-explore").value);

/** What an arm gets, in a few words. */
export function settings({ Explore, Policy }) {
  const parameter = Policy && POLICIES[Policy.kind]?.[0];
  const chosen = Policy && [Policy.kind, parameter && `${parameter} ${words.number(Policy[parameter])}`].filter(Boolean).join(", ");
  const knob = Explore != null && t("exploreAt", { share: words.percent(Explore) });
  return words.list([chosen, knob].filter(Boolean)) || t("asServed");
}

let drawn = "";

/** Drawn again only in another language: somebody may be filling it in. */
export function drawTrial() {
  if (drawn === words.language()) return;
  drawn = words.language();
  const chosen = policy();
  const option = (name) => el("option", { value: name, selected: name === chosen }, name === "served" ? t("asServed") : name);
  byId("new-policy").replaceChildren(...Object.keys(POLICIES).map(option));
  drawParameter();
  drawExplore();
}

/** A policy without a parameter has no field for one. */
function drawParameter() {
  const parameter = POLICIES[policy()];
  byId("new-parameter-label").hidden = !parameter;
  byId("new-parameter").required = Boolean(parameter);
  byId("new-parameter-name").textContent = parameter?.[0] ?? "";
}

const drawExplore = () => (byId("new-explore-value").textContent = explore() === 1 ? t("asServed") : words.percent(explore()));

function changed() {
  byId("new-parameter").value = POLICIES[policy()]?.[1] ?? "";
  drawParameter();
}

function experiment() {
  const parameter = POLICIES[policy()];
  const chosen = policy() === "served" ? null : { kind: policy(), ...(parameter && { [parameter[0]]: Number(byId("new-parameter").value) }) };
  const share = Number(byId("new-share").value) / 100;
  const tried = { name: "new", share, ...(chosen && { policy: chosen }), ...(explore() < 1 && { explore: explore() }) };
  return {
    name: byId("new-name").value.trim(),
    about: byId("new-about").value.trim(),
    layer: byId("new-layer").value.trim(),
    metrics: ["conversion", "value", "clicks"],
    arms: [{ name: "control", share: 1 - share }, tried],
    guardrails: [{ metric: "conversion", tolerated: Number(byId("new-tolerated").value) / 100 }],
  };
}

/** `start` takes the experiment to the server, and says whether it was started. */
export function listenTrial(start) {
  byId("new-policy").addEventListener("change", changed);
  byId("new-explore").addEventListener("input", drawExplore);
  byId("experiment-form").addEventListener("submit", (event) => {
    event.preventDefault();
    start(experiment());
  });
}
