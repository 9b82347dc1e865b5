// Asks the reader: whether they mean it, or for the API key that the server wants. In: texts, or a refusal; out: a promise.

import { key } from "./api.js";
import { button, el } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

/** A small dialog; true if it was answered with its first button. */
function question(title, inside, yes) {
  const cancel = button(".quiet", () => box.close(""), t("cancel"));
  const buttons = el("div.buttons", {}, el("button.primary", { value: "yes" }, yes), cancel);
  const form = el("form", { method: "dialog" }, el("h2", { id: "question-title" }, title), inside, buttons);
  const box = el("dialog.question", { id: "question", "aria-labelledby": "question-title" }, form);
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) =>
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    }));
}

export const sure = (title, text, yes) => question(title, el("p", {}, text), yes);

/** Asks for a key; says why, if the server refused. The key is kept if one was given. */
export async function askKey(refused) {
  const [message, remedy] = refused ? words.refusal(refused) : [t("keyLead"), ""];
  const why = el("p", { id: "key-why" }, message, remedy && [el("br"), remedy]);
  const rules = { type: "password", required: true, pattern: "[!-~]+", maxlength: 500, autocomplete: "off" };
  const input = el("input", { id: "key-input", ...rules, autofocus: true, "aria-describedby": "key-why key-note" });
  const label = el("label", { for: "key-input" }, t("key"));
  const given = await question(t("keyTitle"), [why, label, input, el("p.note", { id: "key-note" }, t("keyNote"))], t("go"));
  if (given) key.hold(input.value);
  return given;
}

let asking = null;
let declined = false;

/** Requests that are refused together ask once; who declined is asked again only by the button at the foot. */
key.wanted = (refused) => {
  if (declined) return false;
  asking ??= askKey(refused).then((given) => ((declined = !given), (asking = null), given));
  return asking;
};
