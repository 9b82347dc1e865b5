// The catalogue and the events, a page at a time. In: the server's pages, and which events the reader wants; out: the views
// "catalogue" and "events" of index.html.

import { get, path, query } from "./api.js";
import { button, byId, el } from "./draw.js";
import { eventRow, itemRow } from "./goods.js";
import { calm, fail, vacant } from "./notice.js";
import * as words from "./words.js";
const { t } = words;

const PAGE = 50;
const MOST = 1000;

/** A list that is read a page at a time; the cursors of the pages before make the way back. `read` answers rows and the next cursor. */
function pages(id, read, row, empty) {
  const state = { cursors: [""], next: "", rows: null, failed: false };
  async function load(cursors) {
    try {
      const [rows, next] = await read(cursors.at(-1));
      Object.assign(state, { cursors, next, rows, failed: false });
      calm();
    } catch (error) {
      state.failed = true;
      fail(error);
    }
    draw();
  }
  async function turn(cursors, back) {
    await load(cursors);
    window.scrollTo(0, 0);
    const ends = byId(id + "-pager").querySelectorAll("button");
    [...(back ? ends : [...ends].reverse())].find((end) => !end.disabled)?.focus({ preventScroll: true });
  }
  function draw() {
    const rows = state.rows?.map(row) ?? [];
    byId(id).replaceChildren(...(rows.length ? rows : [el("li", {}, vacant(state.rows, state.failed, empty, () => load(state.cursors)))]));
    const before = button(".quiet", () => turn(state.cursors.slice(0, -1), true), t("before"));
    const after = button(".quiet", () => turn([...state.cursors, state.next], false), t("after"));
    before.disabled = state.cursors.length < 2;
    after.disabled = !state.next;
    const number = el("span", { role: "status" }, t("pageNumber", { n: state.cursors.length }));
    byId(id + "-pager").replaceChildren(before, number, after);
  }
  return { draw, show: () => (draw(), load(state.cursors)), first: () => load([""]) };
}

async function readItems(cursor) {
  const page = await get("/api/items" + query({ n: PAGE, cursor }));
  return [page.Items, page.Cursor];
}

/** All that arrived, those of a kind, or the latest of one shopper, which come at once and are divided here. */
async function readEvents(cursor) {
  const [kind, user] = [byId("feedback-kind").value, byId("feedback-user").value.trim()];
  if (!user) {
    const page = await get((kind ? path("api", "feedback", kind) : "/api/feedback") + query({ n: PAGE, cursor }));
    return [page.Feedback, page.Cursor];
  }
  const all = await get(path("api", "user", user, "feedback", ...(kind ? [kind] : [])) + query({ n: MOST }));
  const to = Number(cursor) + PAGE;
  return [all.slice(to - PAGE, to), to < all.length ? String(to) : ""];
}

export const catalogue = pages("items", readItems, itemRow, "catalogueEmpty");
export const events = pages("feedback", readEvents, (event) => eventRow(event, true), "eventsEmpty");

export function drawKinds() {
  const select = byId("feedback-kind");
  const chosen = select.value;
  const option = ([value, said]) => el("option", { value, selected: value === chosen }, said);
  select.replaceChildren(...[["", t("anyKind")], ...words.kinds()].map(option));
}

export function listenLists() {
  byId("feedback-kind").addEventListener("change", events.first);
  byId("feedback-form").addEventListener("submit", (event) => (event.preventDefault(), events.first()));
}
