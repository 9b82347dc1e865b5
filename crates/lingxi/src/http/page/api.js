// Talks to the server. In: a path below the same origin; out: parsed JSON, or a Refused error that says what to do. The
// API key, if the server wants one, is kept for this tab and goes with every request.

/** A refusal of the server, or of the network; `message` and `remedy` are for people. */
export class Refused extends Error {
  constructor(message, remedy, status) {
    super(message);
    this.remedy = remedy || "";
    this.status = status || 0;
  }
}

const PLACE = "lingxi-key";

/** The key of this tab; a browser that forbids storage keeps it until the page is left. */
export const key = {
  held: stored(),
  hold(value) {
    key.held = value;
    try { sessionStorage.setItem(PLACE, value); } catch { /* private window */ }
    dispatchEvent(new Event("key"));
  },
  /** Asks the reader for another key; answers whether to try again. */
  wanted: async () => false,
};

function stored() {
  try { return sessionStorage.getItem(PLACE) ?? ""; } catch { return ""; }
}

/** A path made of parts that may hold any character. */
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

/** `?a=1&b=2`; empty values are left out, since an empty cursor means the first page. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  return given.length ? "?" + new URLSearchParams(given) : "";
}

/** The answer of the server as it is. */
export function send(address, options = {}) {
  const headers = key.held ? { ...options.headers, "x-api-key": key.held } : options.headers;
  return fetch(address, { ...options, headers }).catch(() => {
    throw new Refused("unreachable", "", 0);
  });
}

/** JSON from the server together with its headers. */
export async function ask(address, options) {
  const used = key.held;
  const response = await send(address, options);
  const body = await response.json().catch(() => null);
  if (response.ok && (body !== null || options)) return { body, headers: response.headers };
  const why = body?.error ?? {};
  const refused = new Refused(why.message || `HTTP ${response.status}`, why.remedy, response.status);
  const locked = response.status === 401 || response.status === 403;
  if (locked && (used !== key.held || (await key.wanted(refused)))) return ask(address, options);
  throw refused;
}

/** JSON from the server. */
export const get = async (address) => (await ask(address)).body;

/** Sends a change; it may be answered without a body. */
export const post = (address, value) => ask(address, { method: "POST", ...(value && { headers: { "content-type": "application/json" }, body: JSON.stringify(value) }) });

/** Calls `read` now and again after `pause()` milliseconds, but not while nobody looks; answers how to end it. */
export function poll(read, pause) {
  let timer = 0;
  let over = false;
  const turn = async () => {
    if (!document.hidden) await read();
    if (!over) timer = setTimeout(turn, pause());
  };
  turn();
  return () => ((over = true), clearTimeout(timer));
}
