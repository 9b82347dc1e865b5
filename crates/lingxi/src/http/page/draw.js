// Makes elements. In: names, texts and data; out: DOM nodes. Data enters as text only, never as markup.

export function fill(node, props, children) {
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

/** A button that is no submit. */
export const button = (spec, onclick, ...children) => el("button" + spec, { type: "button", onclick }, ...children);

/** A sentence where content is missing, with a button where trying again may help. */
export const note = (text, again, label) => el("p.note.empty", {}, text, again && [" ", button(".quiet", again, label)]);

/** A titled sheet of a view. */
export const panel = (title, ...inside) => el("section.panel", {}, el("h2", {}, title), inside);

/** A table that is scrolled sideways where it is too wide, also with the keyboard. */
export function table(label, heads, rows, caption) {
  const head = el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)));
  const whole = el("table", {}, caption && el("caption", {}, el("span", {}, caption)), el("thead", {}, head), el("tbody", {}, rows));
  return el("div.scroll", { tabindex: 0, role: "group", "aria-label": label }, whole);
}

export const byId = (id) => document.getElementById(id);

/** Puts new children into a node; the focus stays on the element with the same id. */
export function renew(node, ...children) {
  const id = node.contains(document.activeElement) && document.activeElement.id;
  node.replaceChildren(...children.filter(Boolean));
  if (id) byId(id)?.focus({ preventScroll: true });
}
