// The form that sends a request of the description. In: an operation and an example of its body; out: a form that shows
// status, time and answer, and the same request as a curl line.

import { key, send } from "./api.js";
import { button, el } from "./draw.js";
import * as words from "./words.js";
const { t } = words;

/** Longest answer that is shown, in characters. */
const SHOWN = 50000;

let forms = 0;

export function tryIt(operation, body) {
  const number = ++forms;
  const inputs = operation.parameters.filter((one) => one.in !== "cookie").map((one, i) => [one, field(one, `try-${number}-${i}`)]);
  const text = body && bodyField(body, `try-${number}-body`);
  const curl = el("pre", { tabindex: 0, "aria-label": "curl" });
  const status = el("p.said", { role: "status" });
  const answer = el("pre.answer", { tabindex: 0, "aria-label": t("answer"), hidden: true });
  const request = () => built(operation, inputs, body, text);
  const refresh = () => (curl.textContent = asCurl(request()));
  const copied = async () => (status.textContent = await navigator.clipboard.writeText(curl.textContent).then(() => t("copied"), () => t("notCopied")));
  const submitted = (event) => (event.preventDefault(), sent(request(), status, answer));
  const rows = inputs.map(([one, input]) => labelled(input, one.name, one.required));
  const form = el("form.try", { oninput: refresh, onsubmit: submitted },
    rows, text && labelled(text, body.type, body.required),
    el("div.buttons", {}, el("button.primary", {}, t("send")), button(".quiet", copied, t("copyCurl"))),
    curl, status, answer);
  refresh();
  return form;
}

const labelled = (input, name, required) => el("label", { for: input.id }, el("span", {}, el("code", {}, name), required && el("small", {}, ` ${t("required")}`)), input);

function field(one, id) {
  const value = one.example ?? one.schema?.example ?? "";
  const fixed = one.schema?.enum ?? ([one.schema?.type].flat().includes("boolean") ? ["true", "false"] : null);
  if (!fixed) return el("input", { id, value, required: one.required, autocomplete: "off", spellcheck: "false", placeholder: one.schema?.default ?? "" });
  const options = (one.required ? fixed : ["", ...fixed]).map((value) => el("option", { value }, value));
  return el("select", { id }, options);
}

function bodyField(body, id) {
  if (!/json|text|xml|form/.test(body.type)) return el("input", { id, type: "file" });
  const text = typeof body.example === "string" ? body.example : JSON.stringify(body.example, null, 2);
  return el("textarea", { id, rows: Math.min(14, text.split("\n").length + 1), spellcheck: "false" }, text);
}

/** The request that the form describes. */
function built(operation, inputs, body, text) {
  const of = (place) => inputs.filter(([one, input]) => one.in === place && input.value !== "");
  const put = (path, [one, input]) => path.replace(`{${one.name}}`, () => encodeURIComponent(input.value));
  const path = of("path").reduce(put, operation.path);
  const query = new URLSearchParams(of("query").map(([one, input]) => [one.name, input.value]));
  const headers = Object.fromEntries(of("header").map(([one, input]) => [one.name, input.value]));
  if (text) headers["content-type"] = body.type;
  const file = text?.type === "file" ? text.files[0] ?? "" : null;
  return { method: operation.method, address: path + (query.size ? "?" + query : ""), headers, body: file ?? text?.value, file: file !== null && (file.name ?? "FILE") };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The key is named, never shown. */
function asCurl({ method, address, headers, body, file }) {
  const asked = `curl ${method === "GET" ? "" : `-X ${method} `}${quoted(location.origin + address)}`;
  const lines = [asked, ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`)];
  if (key.held) lines.push('-H "X-API-Key: $LINGXI_KEY"');
  if (body !== undefined) lines.push(file ? `--data-binary ${quoted("@" + file)}` : `-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

async function sent({ method, address, headers, body }, status, answer) {
  status.textContent = t("loading");
  const began = performance.now();
  try {
    const response = await send(address, { method, headers, body });
    const text = await response.text();
    const time = words.number(performance.now() - began, 1);
    status.textContent = t("answered", { status: `${response.status} ${response.statusText}`.trim(), time, size: words.number(new Blob([text]).size) });
    answer.textContent = pretty(text).slice(0, SHOWN);
  } catch (error) {
    status.textContent = words.refusal(error).join(" ");
    answer.textContent = "";
  }
  answer.hidden = !answer.textContent;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
