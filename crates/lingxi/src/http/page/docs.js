// The description of the API: operations by tag, each with parameters, body, answers and a form to try it. In:
// /api/openapi.json; out: the page docs.html. An operation is drawn when it is opened.

import { get } from "./api.js";
import { byId, el, note, table } from "./draw.js";
import { frame } from "./frame.js";
import { example, fields, resolve, said } from "./schema.js";
import { tryIt } from "./try.js";
import * as words from "./words.js";
const { t } = words;

const METHODS = ["get", "post", "put", "patch", "delete"];
let doc = null;
let operations = [];

/** The operations of the document, flat: `{id, method, path, tag, parameters, ...}`. */
function read() {
  return Object.entries(doc.paths ?? {}).flatMap(([path, node]) =>
    METHODS.filter((method) => node[method]).map((method) => {
      const own = node[method];
      const parameters = [...(node.parameters ?? []), ...(own.parameters ?? [])].map((parameter) => resolve(doc, parameter));
      const id = own.operationId ?? method + path.replace(/\W+/g, "-");
      return { ...own, id, method: method.toUpperCase(), path, tag: own.tags?.[0] ?? "other", parameters };
    }));
}

const fits = (operation, typed) => `${operation.method} ${operation.path} ${operation.tag} ${operation.summary ?? ""}`.toLowerCase().includes(typed);

function draw() {
  if (!doc) return;
  byId("docs-about").textContent = [doc.info?.description, doc.info?.version].filter(Boolean).join(" · ");
  const tags = new Set([...(doc.tags ?? []).map((tag) => tag.name), ...operations.map((operation) => operation.tag)]);
  byId("docs").replaceChildren(...[...tags].map(group));
  filter();
}

/** Hides what does not fit; what is filled in stays. */
function filter() {
  const typed = byId("docs-filter").value.trim().toLowerCase();
  for (const operation of operations) byId(operation.id).hidden = !fits(operation, typed);
  for (const part of byId("docs").children) part.hidden = !part.querySelector(":scope > details:not([hidden])");
  byId("docs-count").textContent = t("docsCount", { n: operations.filter((operation) => fits(operation, typed)).length });
}

function group(tag) {
  const own = operations.filter((operation) => operation.tag === tag);
  const about = doc.tags?.find((known) => known.name === tag)?.description;
  return el("section.panel.operations", {}, el("h2", {}, tag), about && el("p.note", {}, about), own.map(entry));
}

/** One operation, folded. */
function entry(operation) {
  const inside = el("div.inside");
  const opened = (event) => event.target === node && node.open && !inside.childElementCount && inside.append(...details(operation));
  const method = el(`span.method.${operation.method.toLowerCase()}`, {}, operation.method);
  const title = el("summary", {}, method, " ", el("code", {}, operation.path), " ", el("span.note", {}, operation.summary));
  const node = el("details", { id: operation.id, ontoggle: opened }, title, inside);
  return node;
}

function details(operation) {
  const body = bodyOf(operation);
  return [
    operation.description && el("p.about", {}, operation.description),
    operation.parameters.length > 0 && section(t("parameters"), parameterTable(operation.parameters)),
    body && section(t("body"), shape(body.type, body.schema)),
    section(t("answers"), Object.entries(operation.responses ?? {}).map(([status, node]) => answer(status, resolve(doc, node)))),
    section(t("tryIt"), tryIt(operation, body)),
  ].filter(Boolean);
}

const section = (title, ...inside) => el("section", {}, el("h3", {}, title), inside);

/** The first content of a body, with a value that fits. */
function bodyOf(operation) {
  const [type, content] = Object.entries(resolve(doc, operation.requestBody).content ?? {})[0] ?? [];
  if (!type) return null;
  return { type, schema: content.schema, example: content.example ?? example(doc, content.schema), required: resolve(doc, operation.requestBody).required };
}

function parameterTable(parameters) {
  const row = (one) =>
    el("tr", {},
      el("th", { scope: "row" }, el("code", {}, one.name), el("small", {}, one.required ? `${one.in}, ${t("required")}` : one.in)),
      el("td", {}, said(doc, one.schema)),
      el("td", {}, one.description));
  return table(t("parameters"), [t("name"), t("fits"), t("meaning")], parameters.map(row));
}

/** What a body or an answer looks like: its type in words, then its fields. */
function shape(type, schema) {
  return [el("p", {}, el("code", {}, type), " ", schema && said(doc, schema)), tree(fields(doc, schema))];
}

function tree(rows) {
  if (!rows.length) return null;
  const line = (row) =>
    el("li", {},
      el("code", {}, row.name), row.required && el("small", {}, ` ${t("required")}`), " ", el("span.note", {}, row.said),
      row.about && el("div", {}, row.about),
      tree(row.fields));
  return el("ul.fields", {}, rows.map(line));
}

function answer(status, { description, content }) {
  const [type, node] = Object.entries(content ?? {})[0] ?? [];
  const head = [el("b", {}, status), " ", description];
  return type ? el("details", {}, el("summary", {}, head), shape(type, node.schema)) : el("p.plain", {}, head);
}

/** The address may name an operation: it is opened and shown. */
function follow() {
  const node = byId(decodeURIComponent(location.hash.slice(1)));
  if (node?.localName !== "details") return;
  node.open = true;
  node.scrollIntoView();
}

async function start() {
  frame(draw);
  byId("docs-form").addEventListener("submit", (event) => event.preventDefault());
  byId("docs-filter").addEventListener("input", () => doc && filter());
  byId("docs").addEventListener("toggle", (event) => event.target.open && event.target.id && history.replaceState(null, "", "#" + event.target.id), true);
  addEventListener("hashchange", follow);
  byId("docs").replaceChildren(note(t("loading")));
  try {
    doc = await get("/api/openapi.json");
    operations = read();
    draw();
    follow();
  } catch (error) {
    byId("docs").replaceChildren(note(words.refusal(error).join(" "), () => location.reload(), t("again")));
  }
}

start();
