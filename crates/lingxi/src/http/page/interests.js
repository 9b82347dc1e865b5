// One interest of a shopper as a bar: the share that is expected, and how far it may be off.

import { el } from "./draw.js";
import * as words from "./words.js";

/** In: an interest as the server tells it, and the greatest upper bound, which is the whole width; out: a row. */
export function interestRow(interest, most) {
  const [low, degree, high] = [interest.Low, interest.Degree, interest.High].map((share) => (100 * share) / (most || 1));
  const said = words.t("interestOf", { share: words.percent(interest.Degree), low: words.percent(interest.Low), high: words.percent(interest.High) });
  const bar = el("span.degree", { "aria-hidden": "true" }, el("i.sure"), el("i.unsure"));
  bar.firstChild.style.width = `${degree}%`;
  bar.lastChild.style.left = `${low}%`;
  bar.lastChild.style.width = `${high - low}%`;
  return el("li", {}, el("span", {}, interest.Category), bar, el("small", {}, said));
}
