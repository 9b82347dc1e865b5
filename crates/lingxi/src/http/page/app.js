// The page: which view the address names, and which button does what. In: the address and what the reader presses; out:
// the skeleton of index.html, filled by the modules of the views.

import { get } from "./api.js";
import { drawBuilds, hideBuilds, listenBuilds, showBuilds } from "./builds.js";
import { byId, el } from "./draw.js";
import { drawExperiments, hideExperiments, listenExperiments, showExperiments } from "./experiments.js";
import { frame } from "./frame.js";
import { drawHealth, hideHealth, showHealth } from "./health.js";
import { drawLearning, hideLearning, listenLearning, showLearning } from "./learning.js";
import { catalogue, drawKinds, events, listenLists } from "./lists.js";
import { announce, calm, fail } from "./notice.js";
import { openProduct } from "./product.js";
import { drawQuality, showQuality } from "./quality.js";
import { act, drawShop, listenShop, shop, showShop } from "./shop.js";
import * as words from "./words.js";
const { t } = words;

const views = { shop: showShop, catalogue: catalogue.show, events: events.first, quality: showQuality, learning: showLearning, experiments: showExperiments, builds: showBuilds, health: showHealth };
let current = "";
let server = null;

function argument(text = "") {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  const [, name, ...rest] = location.hash.split("/");
  const next = Object.hasOwn(views, name) ? name : "shop";
  if (current && next !== current) window.scrollTo(0, 0);
  current = next;
  calm();
  if (byId("product").open) byId("product").close();
  hideHealth();
  hideBuilds();
  hideLearning();
  hideExperiments();
  for (const view of Object.keys(views)) {
    byId("view-" + view).hidden = view !== next;
    if (view === next) byId("nav-" + view).setAttribute("aria-current", "page");
    else byId("nav-" + view).removeAttribute("aria-current");
  }
  entitle();
  Promise.resolve(views[next](argument(rest.join("/")))).catch(fail);
}

const entitle = () => (document.title = `${t(current)} · Lingxi 灵犀`);

function drawFoot() {
  byId("foot").textContent = server ? t("foot", { version: server.Version, about: server.About }) : "";
  byId("shop-name").textContent = server?.Name ?? "";
  byId("glossary").replaceChildren(...words.terms().flatMap(([term, said]) => [el("dt", {}, term), el("dd", {}, said)]));
}

function redraw() {
  entitle();
  announce("");
  [drawFoot, drawShop, drawKinds, catalogue.draw, events.draw, drawQuality, drawLearning, drawExperiments, drawBuilds, drawHealth].forEach((draw) => draw());
}

/** The buttons of goods, wherever they lie. */
function pressed(event) {
  const { open, why, act: kind, of, title } = event.target.closest("[data-open], [data-act]")?.dataset ?? {};
  if (open) openProduct(open, shop.user, why !== undefined);
  else if (kind) act(kind, of, title);
}

/** The focus goes back to what opened the panel, or to what was drawn in its place since. */
function closed() {
  const again = document.querySelector(`main [data-open="${CSS.escape(byId("product").dataset.item)}"]`);
  if (document.activeElement === document.body) (again ?? byId("main")).focus({ preventScroll: true });
  byId("product").dataset.item = "";
}

function listen() {
  const product = byId("product");
  document.addEventListener("click", pressed);
  product.addEventListener("click", (event) => event.target === product && product.close());
  product.addEventListener("close", closed);
  document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), byId(current === "shop" ? "h-slate" : "main").focus()));
  addEventListener("hashchange", route);
  [listenShop, listenLists, listenLearning, listenExperiments, listenBuilds].forEach((listen) => listen());
}

function start() {
  frame(redraw);
  drawKinds();
  drawFoot();
  listen();
  route();
  get("/api/dashboard/stats").then((stats) => ((server = stats), drawFoot())).catch(() => {}); // the page works without a name
}

start();
