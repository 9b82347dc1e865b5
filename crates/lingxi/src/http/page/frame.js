// What every page has around it: words in the chosen language, theme, API key. In: the skeleton of the page; out: the same
// with texts (data-t), labels (data-l) and placeholders (data-p), and buttons that work.

import { key } from "./api.js";
import { byId } from "./draw.js";
import { askKey } from "./question.js";
import * as words from "./words.js";
const { t } = words;

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function drawWords() {
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-l]")) node.setAttribute("aria-label", t(node.dataset.l));
  for (const node of document.querySelectorAll("[data-p]")) node.setAttribute("placeholder", t(node.dataset.p));
  byId("lang-toggle").textContent = t("otherLanguage");
  byId("lang-toggle").lang = words.language() === "en" ? "zh-CN" : "en";
  drawKey();
  drawTheme();
}

const drawKey = () => (byId("key-toggle").textContent = t(key.held ? "keyForget" : "keyEnter"));

function drawTheme() {
  const label = t(isDark() ? "toLight" : "toDark");
  byId("theme-toggle").setAttribute("aria-label", label);
  byId("theme-toggle").title = label;
}

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  words.memory.set("lingxi-theme", document.documentElement.dataset.theme);
  drawTheme();
}

/** What was read with a key is gone with it. */
async function changeKey() {
  if (key.held) key.hold("");
  else if (!(await askKey())) return;
  location.reload();
}

/** Draws the frame and keeps it; `redraw` draws what is inside it in another language. */
export function frame(redraw) {
  const theme = words.memory.get("lingxi-theme");
  if (["light", "dark"].includes(theme)) document.documentElement.dataset.theme = theme;
  words.firstLanguage();
  drawWords();
  byId("lang-toggle").addEventListener("click", () => (words.otherLanguage(), drawWords(), redraw()));
  byId("theme-toggle").addEventListener("click", changeTheme);
  byId("key-toggle").addEventListener("click", changeKey);
  dark.addEventListener("change", drawTheme);
  addEventListener("key", drawKey);
}
