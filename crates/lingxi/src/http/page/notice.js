// Says what went wrong and what happened, to the eye and to screen readers. In: errors and texts; out: the alert at the
// foot of the page, the line above the slate, and their like inside an open panel.

import { Refused } from "./api.js";
import { button, byId, el, note } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

export function fail(error) {
  if (!(error instanceof Refused)) console.error(error);
  const [message, remedy] = words.refusal(error);
  const text = el("p", {}, el("strong", {}, message), remedy && [el("br"), remedy]);
  byId("alert").replaceChildren(text, button(".quiet", calm, t("close")));
  sayInside(`${message} ${remedy}`);
}

/** Makes a request, says in the node `id` that it is done, or what went wrong; whether it is done. */
export async function attempt(request, id, said) {
  try {
    await request();
    byId(id).textContent = said;
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

export const calm = () => byId("alert").replaceChildren();

export function announce(text) {
  byId("announce").textContent = text;
  sayInside(text);
}

/** What lies behind an open dialog is neither seen nor read out, so the panel says it too. */
function sayInside(text) {
  const inside = document.querySelector("dialog[open] .said");
  if (inside) inside.textContent = text;
}

/** What stands where there are no rows: still loading, not to be loaded, or really none. */
export function vacant(rows, failed, empty, again) {
  if (rows) return note(t(empty));
  return failed ? note(t("failed"), again, t("again")) : note(t("loading"));
}
