// Small charts as SVG. In: numbers; out: nodes. What they show stands beside them as text, so most are hidden from readers.

import { fill } from "./draw.js";

const svg = (tag, props = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);

/** A place on an axis in per cent; room is left for dots at both ends. */
const place = (value, [low, high]) => `${2 + 96 * ((value - low) / (high - low || 1))}%`;

/** From the smallest to the largest of the numbers; zero is included where they lie near it. */
export function span(numbers) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return [low > 0 && low < high / 2 ? 0 : low, high > low ? high : low + 1];
}

/** A dot with its interval on a common axis. */
export function interval(value, between, axis, strong) {
  const line = between && svg("line", { x1: place(between[0], axis), x2: place(between[1], axis), y1: 10, y2: 10 });
  const end = (x) => svg("line", { x1: place(x, axis), x2: place(x, axis), y1: 6, y2: 14 });
  const dot = svg("circle", { cx: place(value, axis), cy: 10, r: 5 });
  const rail = svg("line", { class: "rail", x1: 0, x2: "100%", y1: 10, y2: 10 });
  const kind = strong ? "interval strong" : "interval";
  return svg("svg", { class: kind, height: 20, "aria-hidden": "true" }, rail, line, between && between.map(end), dot);
}

/** A difference with its interval, on an axis with zero and the bar of a guardrail. */
export function difference(value, between, axis, bar, kind) {
  const whole = interval(value, between, axis, kind === "better");
  const mark = (at, name) => svg("line", { class: name, x1: place(at, axis), x2: place(at, axis), y1: 0, y2: 20 });
  whole.classList.add(kind);
  whole.prepend(mark(0, "zero"), ...(bar ? [mark(bar, "bar")] : []));
  return whole;
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

/** The last of at most `length` numbers as a line from zero up. */
export function sparkline(values, length) {
  const high = Math.max(...values, 1e-9) * 1.1;
  const x = (i) => ((200 * (i + length - values.length)) / (length - 1)).toFixed(1);
  const line = values.map((value, i) => `${x(i)},${(39 - (38 * value) / high).toFixed(1)}`).join(" ");
  const props = { class: "spark", viewBox: "0 0 200 40", preserveAspectRatio: "none", "aria-hidden": "true" };
  return svg("svg", props, svg("polygon", { points: `${line} 200,40 ${x(0)},40` }), svg("polyline", { points: line }));
}

/** Round numbers that cover a span: three to seven of them. */
function rounded([low, high]) {
  const power = 10 ** Math.floor(Math.log10(high - low));
  const by = [0.2, 0.5, 1, 2].map((part) => part * power).find((part) => (high - low) / part <= 5);
  const [from, to] = [Math.floor(low / by + 1e-9), Math.ceil(high / by - 1e-9)];
  return Array.from({ length: to - from + 1 }, (_, i) => (from + i) * by);
}

const [LEFT, RIGHT, TOP, FOOT] = [46, 330, 26, 160];

/** A line over axes: `{points: [[x, y], ...], x, y, label, xText, yText, dots}`; `label` says it all in words. */
export function curve({ points, x, y, label, xText, yText, dots }) {
  const ticks = rounded(span(points.map((point) => point[1])));
  const [x0, x1] = [points[0][0], points.at(-1)[0]];
  const [y0, y1] = [ticks[0], ticks.at(-1)];
  const across = (value) => LEFT + 6 + ((RIGHT - LEFT - 6) * (value - x0)) / (x1 - x0 || 1);
  const up = (value) => FOOT - ((FOOT - TOP) * (value - y0)) / (y1 - y0);
  const text = (at, height, anchor, said) => svg("text", { x: at, y: height, "text-anchor": anchor }, said);
  const rule = (value) => [
    svg("line", { class: "rail", x1: LEFT, x2: RIGHT, y1: up(value), y2: up(value) }),
    text(LEFT - 5, up(value) + 4, "end", yText(value)),
  ];
  const ends = [text(across(x0), 176, "start", xText(x0)), x1 > x0 && text(RIGHT, 176, "end", xText(x1))];
  const names = [text((LEFT + RIGHT) / 2, 176, "middle", x), text(2, 12, "start", y)];
  const line = svg("polyline", { points: points.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(" ") });
  const marks = dots && points.map(([a, b]) => svg("circle", { cx: across(a), cy: up(b), r: 4 }));
  return svg("svg", { class: "curve", viewBox: "0 0 340 182", role: "img", "aria-label": label }, ticks.map(rule), ends, names, line, marks);
}
