// Talks to the server. In: a path below the same origin; out: parsed JSON, or a Refused error that says what to do.

/** A refusal of the server, or of the network; `message` and `remedy` are for people. */
export class Refused extends Error {
  constructor(message, remedy, status) {
    super(message);
    this.remedy = remedy || "";
    this.status = status || 0;
  }
}

/** A path made of parts that may hold any character. */
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

/** `?a=1&b=2`; empty values are left out, since an empty cursor means the first page. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  return "?" + new URLSearchParams(given);
}

/** JSON from the server together with its headers. */
export async function ask(address, options) {
  const response = await fetch(address, options).catch(() => {
    throw new Refused("unreachable", "", 0);
  });
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return { body, headers: response.headers };
  const why = body?.error ?? {};
  throw new Refused(why.message || `HTTP ${response.status}`, why.remedy, response.status);
}

/** JSON from the server. */
export const get = async (address) => (await ask(address)).body;

/** Says that a shopper did something with an item. */
export function feedback(kind, user, item) {
  const event = { FeedbackType: kind, UserId: user, ItemId: item };
  const headers = { "content-type": "application/json" };
  return ask("/api/feedback", { method: "POST", headers, body: JSON.stringify([event]) });
}
