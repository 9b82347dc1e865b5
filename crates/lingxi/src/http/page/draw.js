// Makes elements and small charts. In: names, texts and numbers; out: DOM nodes. Data enters as text only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** `el("button.quiet", {type: "button"}, "text")`. */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  return fill(node, props, children);
}

/** The same for SVG. */
export const svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** A button that is no submit. */
export const button = (spec, onclick, ...children) => el("button" + spec, { type: "button", onclick }, ...children);

/** A sentence where content is missing, with a button where trying again may help. */
export const note = (text, again, label) => el("p.note.empty", {}, text, again && [" ", button(".quiet", again, label)]);

export const byId = (id) => document.getElementById(id);

/** A place on an axis in per cent; room is left for dots at both ends. */
const place = (value, [low, high]) => `${2 + 96 * ((value - low) / (high - low || 1))}%`;

/** From the smallest to the largest of the numbers; zero is included where they lie near it. */
export function span(numbers) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return [low > 0 && low < high / 2 ? 0 : low, high > low ? high : low + 1];
}

/** A dot with its interval on a common axis; the numbers stand beside it as text, so it is hidden from readers. */
export function interval(value, between, axis, strong) {
  const line = between && svg("line", { x1: place(between[0], axis), x2: place(between[1], axis), y1: 10, y2: 10 });
  const end = (x) => svg("line", { x1: place(x, axis), x2: place(x, axis), y1: 6, y2: 14 });
  const dot = svg("circle", { cx: place(value, axis), cy: 10, r: 5 });
  const rail = svg("line", { class: "rail", x1: 0, x2: "100%", y1: 10, y2: 10 });
  const kind = strong ? "interval strong" : "interval";
  return svg("svg", { class: kind, height: 20, "aria-hidden": "true" }, rail, line, between && between.map(end), dot);
}

/** One step of a sum: a bar from where the steps before it ended. */
export function step(from, to, [low, high], kind) {
  const at = (value) => 100 * ((value - low) / (high - low || 1));
  const [x, end] = [at(Math.min(from, to)), at(Math.max(from, to))];
  const zero = svg("line", { class: "zero", x1: `${at(0)}%`, x2: `${at(0)}%`, y1: 0, y2: 12 });
  const bar = svg("rect", { class: kind, x: `${x}%`, width: `${Math.max(end - x, 0.8)}%`, y: 2, height: 8, rx: 2 });
  return svg("svg", { class: "step", height: 12, "aria-hidden": "true" }, zero, bar);
}

/** A bar from 0 to `part` of 1. */
export function bar(part) {
  const rail = svg("rect", { class: "rail", width: "100%", height: 6, rx: 3 });
  const filled = svg("rect", { class: "full", width: `${100 * Math.max(0, Math.min(1, part))}%`, height: 6, rx: 3 });
  return svg("svg", { class: "bar", height: 6, "aria-hidden": "true" }, rail, filled);
}

const points = (xs, ys, x, y) => xs.map((value, i) => `${x(value).toFixed(1)},${y(ys[i]).toFixed(1)}`).join(" ");

/** The last numbers as a line; the last one stands beside it as text. */
export function sparkline(values, length) {
  const high = Math.max(...values, 1e-9) * 1.1;
  const xs = values.map((_, i) => i + length - values.length);
  const line = points(xs, values, (i) => (200 * i) / (length - 1), (value) => 39 - (38 * value) / high);
  const props = { class: "spark", viewBox: "0 0 200 40", preserveAspectRatio: "none", "aria-hidden": "true" };
  const area = values.length > 1 && svg("polygon", { points: `${line} 200,40 ${((200 * xs[0]) / (length - 1)).toFixed(1)},40` });
  return svg("svg", props, area, svg("polyline", { points: line }));
}

/** Learning curves of one metric: a line for each model, told apart by their dashes; `label` says it all in words. */
export function curves(lines, label, number) {
  const [x0, x1] = span(lines.flatMap((line) => line.steps));
  const [y0, y1] = span(lines.flatMap((line) => line.values));
  const x = (value) => 60 + (520 * (value - x0)) / (x1 - x0);
  const y = (value) => 200 - (180 * (value - y0)) / (y1 - y0);
  const tick = (value) => [
    svg("line", { class: "rail", x1: 60, x2: 580, y1: y(value), y2: y(value) }),
    svg("text", { x: 52, y: y(value) + 5, "text-anchor": "end" }, number(value)),
  ];
  const foot = (value, anchor) => svg("text", { x: x(value), y: 226, "text-anchor": anchor }, number(value));
  const drawn = lines.map((line, i) => svg("polyline", { class: `line dash${i % 5}`, points: points(line.steps, line.values, x, y) }));
  const ticks = [y0, (y0 + y1) / 2, y1].map(tick);
  return svg("svg", { class: "curves", viewBox: "0 0 600 236", role: "img", "aria-label": label }, ticks, foot(x0, "start"), foot(x1, "end"), drawn);
}

/** The sample of a line of `curves` for its legend. */
export const dash = (i) =>
  svg("svg", { class: "sample", width: 36, height: 8, "aria-hidden": "true" }, svg("line", { class: `line dash${i % 5}`, x1: 0, x2: 36, y1: 4, y2: 4 }));
