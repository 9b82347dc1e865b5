// Every text of the page in English and Chinese. In: a key and values, or data of the server; out: text in the chosen language.

const TEXTS = {
  skip: ["Skip to the content", "跳到正文"],
  nav: ["Views", "视图"],
  shop: ["Shop", "商店"],
  catalogue: ["Catalogue", "商品目录"],
  events: ["Events", "事件"],
  quality: ["Quality", "质量"],
  health: ["Health", "运行状况"],
  otherLanguage: ["中文", "English"],
  toDark: ["Switch to the dark theme", "切换到深色"],
  toLight: ["Switch to the light theme", "切换到浅色"],
  foot: ["Lingxi {version} · {about}", "灵犀 {version} · {about}"],
  close: ["Close", "关闭"],
  loading: ["Loading …", "正在加载……"],
  failed: ["This could not be loaded.", "无法加载。"],
  again: ["Try again", "重试"],
  unreachable: ["The server does not answer.", "服务器没有响应。"],
  unreachableRemedy: ["See whether it is still running, then try again.", "请确认它仍在运行，然后重试。"],

  shopTitle: ["What should this shopper see next?", "接下来给这位顾客看什么？"],
  shopLead: ["Lingxi reads what the goods say and learns from what shoppers do. Choose a shopper, read why each good is shown, press Buy, and watch the list change.", "灵犀读懂商品的文字，并从顾客的行为中学习。选一位顾客，看看每件商品为什么出现，点一下“购买”，再看推荐如何变化。"],
  shopper: ["Shopper", "顾客"],
  shopperLabel: ["Id of a shopper", "顾客编号"],
  shopperHint: ["Find or type an id", "查找或输入编号"],
  go: ["Go", "前往"],
  shopperHelp: ["An id that nobody has is a new shopper.", "没有人用过的编号就是一位新顾客。"],
  moreShoppers: ["More shoppers", "更多顾客"],
  invent: ["Invent a new shopper", "创造一位新顾客"],
  noShopper: ["No shopper loaded so far matches. Press Go to open this id anyway.", "已加载的顾客中没有匹配的。按“前往”可直接打开这个编号。"],
  eventCount: ["{n} events", "{n} 个事件"],
  history: ["What they did", "行为记录"],
  historyNote: ["Newest first. From this Lingxi learns what shopper {user} likes.", "最新的在前。灵犀由此了解顾客 {user} 的喜好。"],
  historyEmpty: ["Nothing yet. Shopper {user} is new and sees a good default list; one press on Buy makes it personal.", "还没有记录。新顾客 {user} 先看到默认推荐；点一次“购买”，推荐就会变得个性化。"],
  historyAll: ["Show all {n}", "显示全部 {n} 条"],
  historyFew: ["Show fewer", "收起"],

  search: ["Search", "搜索"],
  searchHint: ["Search goods by meaning", "按含义搜索商品"],
  searchTitle: ["Found for “{q}”", "“{q}”的搜索结果"],
  searchNote: ["Found by meaning: the words need not occur. 1 would be the same meaning.", "按含义查找，不要求字面相同。1 表示含义完全一致。"],
  searchNone: ["Nothing found. Try other words.", "没有找到。请换几个词试试。"],
  found: ["{n} goods found for “{q}”.", "“{q}”找到 {n} 件商品。"],
  match: ["Match", "匹配度"],

  slateTitle: ["Recommended for shopper {user}", "给顾客 {user} 的推荐"],
  slateNote: ["A few places are left to chance on purpose: the list differs a little each time.", "少数位置特意交给随机，每次的推荐略有不同。"],
  slateEmpty: ["There is nothing to recommend.", "没有可以推荐的商品。"],
  decision: ["Logged as decision {id}, so that it can be judged later.", "已记录为决策 {id}，以便日后评估。"],
  score: ["Score", "得分"],
  chance: ["Chance", "概率"],
  isNew: ["new", "新"],
  exploring: ["exploring", "探索中"],
  view: ["View", "浏览"],
  cart: ["Cart", "加购"],
  buy: ["Buy", "购买"],
  actLabel: ["{act}: {title}", "{act}：{title}"],
  why: ["How the score adds up", "得分的构成"],
  rules: ["Rules of the shop", "商店规则"],
  saved: { view: ["Shopper {user} looked at “{title}”.", "顾客 {user} 浏览了“{title}”。"], cart: ["Shopper {user} put “{title}” into the cart.", "顾客 {user} 把“{title}”加入了购物车。"], buy: ["Shopper {user} bought “{title}”.", "顾客 {user} 购买了“{title}”。"] },
  entered: ["New: {names}.", "新出现：{names}。"],
  left: ["Gone: {names}.", "已离开：{names}。"],
  unchanged: ["The list holds the same goods as before.", "推荐的商品与之前相同。"],
  andMore: ["{names} and {n} more", "{names} 等 {n} 件"],

  glossary: ["What do these words mean?", "这些词是什么意思？"],
  terms: [
    [["Score", "How well the models think that the good fits this shopper. Only the order matters; it is no percentage."], ["得分", "模型认为商品与这位顾客的契合程度。只有先后次序有意义，它不是百分比。"]],
    [["Chance", "The probability with which this good got this place. It is logged, so that another way of choosing can later be judged fairly."], ["概率", "这件商品得到这个位置的概率。它会被记录，以便日后公平地评估其他选择方式。"]],
    [["Exploring", "Shown to learn something, not because its score was highest. Without this, a shop never finds out what it does not show."], ["探索", "为了了解更多而展示，并非因为得分最高。没有探索，商店永远不知道没展示过的商品会怎样。"]],
    [["How the score adds up", "Each bar starts where the one above ended. Bars to the right speak for the good, bars to the left against it; the last is the score."], ["得分的构成", "每一条都从上一条结束处开始。向右表示加分，向左表示减分，最后一条就是得分。"]],
    [["Rules", "What the shop decides and no model may overrule, such as not showing again what was bought."], ["规则", "由商店决定、模型不能推翻的规定，例如买过的不再展示。"]],
  ],

  category: ["Category", "类别"],
  price: ["Price", "价格"],
  id: ["Id", "编号"],
  reads: ["What the language model reads", "语言模型读到的文字"],
  similar: ["Similar goods", "相似商品"],
  similarNone: ["None are known.", "暂无。"],
  hidden: ["not on sale", "未上架"],
  actFor: ["As shopper {user}:", "以顾客 {user} 的身份："],

  catalogueLead: ["Everything that is sold, as Lingxi reads it. Choose a title to see what a good says and what is close to it.", "全部商品，以灵犀读到的样子呈现。点击标题可以看到商品的文字和与它相近的商品。"],
  catalogueEmpty: ["The catalogue is empty.", "商品目录是空的。"],
  eventsLead: ["What shoppers did since this server was first started, newest first. Each event is on disk before it is acknowledged, and counts from the next request on.", "自服务器首次启动以来顾客的行为，最新的在前。每个事件先写入磁盘再确认，并从下一次请求起生效。"],
  eventsEmpty: ["No event has arrived yet. Press View, Cart or Buy in the Shop and look here again.", "还没有收到事件。在“商店”里点浏览、加购或购买，再回来看看。"],
  before: ["Back", "上一页"],
  after: ["Next", "下一页"],
  pageNumber: ["Page {n}", "第 {n} 页"],
  pager: ["Pages", "分页"],

  qualityLead: ["Before serving, every model had to guess what shoppers did later, on data that it had not seen. These are the results, with their uncertainty.", "在提供服务之前，每个模型都要在没有见过的数据上猜测顾客后来做了什么。以下是结果及其不确定性。"],
  qualityNone: ["This snapshot was not measured. “lingxi demo” and “lingxi evaluate” measure.", "这个快照没有被测量过。可用 lingxi demo 或 lingxi evaluate 测量。"],
  protocol: ["Split: {split}. Protocol: {protocol}. Seed {seed}, {cases} cases. Brackets: 95% bootstrap interval.", "数据划分：{split}。评测方式：{protocol}。种子 {seed}，{cases} 个案例。方括号内为 95% 自助法区间。"],
  models: ["Models compared", "模型对比"],
  metric: ["Metric", "指标"],
  atK: ["Places", "位置数"],
  model: ["Model", "模型"],
  chosen: ["{model} (chosen)", "{model}（采用）"],
  table: ["All figures", "全部数字"],
  groups: ["By group", "按分组"],
  groupsNote: ["{metric} of the chosen model. Groups with few cases have wide intervals: read those with care.", "所采用模型的 {metric}。案例少的分组区间较宽，解读时请谨慎。"],
  cases: ["{n} cases", "{n} 个案例"],
  tests: ["Is the difference real?", "差别是真实的吗？"],
  testsNote: ["Model against model on the same cases, {metric}.", "在相同案例上逐一比较，指标 {metric}。"],
  better: ["{a} is better than {b}: {d} {i}, p = {p}.", "{a} 优于 {b}：{d} {i}，p = {p}。"],
  worse: ["{a} is worse than {b}: {d} {i}, p = {p}.", "{a} 不如 {b}：{d} {i}，p = {p}。"],
  same: ["No difference between {a} and {b} can be shown: {d} {i}, p = {p}.", "无法证明 {a} 与 {b} 有差别：{d} {i}，p = {p}。"],
  mix: ["What the blend is made of", "混合模型的组成"],
  mixNote: ["Weights chosen on validation data, never on the test data.", "权重在验证数据上选定，从不使用测试数据。"],
  more: ["Other measurements", "其他测量"],
  published: ["published", "已发表"],
  curvesTitle: ["Learning curves", "学习曲线"],
  curvesLabel: ["{metric} while learning. {lines}", "学习过程中的 {metric}。{lines}"],
  curvesLine: ["{model}: from {a} to {b}.", "{model}：从 {a} 到 {b}。"],
  showAll: ["Show all {n}", "显示全部 {n} 项"],

  healthLead: ["How this server is doing right now. The numbers are read every two seconds while you look; that reading is counted too.", "服务器此刻的状况。在您查看时每两秒读取一次，这些读取也计算在内。"],
  ready: ["Ready", "就绪"],
  notReady: ["Not ready", "未就绪"],
  readyNote: ["It answers requests.", "正在响应请求。"],
  notReadyNote: ["It is starting, stopping or out of reach.", "正在启动、停止或无法连接。"],
  rate: ["Requests per second", "每秒请求数"],
  p50: ["Half are answered within", "半数请求的响应时间不超过"],
  p99: ["99 of 100 are answered within", "99% 请求的响应时间不超过"],
  ms: ["{n} ms", "{n} 毫秒"],
  requests: ["Requests so far", "累计请求"],
  refused: ["of these refused", "其中被拒绝"],
  users: ["Shoppers", "顾客"],
  goods: ["Goods", "商品"],
  logEvents: ["Events learned from", "用于学习的事件"],
  newEvents: ["Events since the start", "启动后的新事件"],
  uptime: ["Running for", "已运行"],
  snapshot: ["Snapshot", "快照"],
};

const METRICS = {
  ndcg: ["Are the right goods high up? 1 is perfect.", "正确的商品排在前面吗？1 为完美。"],
  recall: ["Which share of the right goods was found?", "找到了多大比例的正确商品？"],
  hr: ["For which share of shoppers was at least one right?", "至少命中一件的顾客占多大比例？"],
  mrr: ["How early does the first right good come? 1: always first.", "第一件正确商品出现得多早？1 表示总在首位。"],
  coverage: ["Which share of the catalogue is ever shown?", "目录中多大比例的商品曾被展示？"],
  map: ["Right goods, weighted by how early each comes.", "正确商品按出现早晚加权。"],
  precision: ["Which share of the shown goods was right?", "展示的商品中正确的比例。"],
  f1: ["Precision and recall in one number.", "精确率与召回率的综合。"],
  auc: ["How often is a right good ranked above another? 0.5 is chance.", "正确商品排在其他商品之前的频率。0.5 相当于随机。"],
  novelty: ["How unusual are the shown goods?", "展示的商品有多不寻常？"],
  ild: ["How different are the goods of one list?", "同一列表中的商品差异有多大？"],
  popularity: ["How often the shown goods were taken; lower is bolder.", "所展示商品的热门程度；越低越大胆。"],
  popularity_lift: ["How much more popular than the history; 1 is the same.", "比历史记录热门多少倍；1 为相同。"],
  gini: ["How unevenly are goods shown? Lower is more even.", "展示有多不均匀？越低越均匀。"],
  rmse: ["Typical error of a predicted rating; lower is better.", "预测评分的典型误差；越低越好。"],
  mae: ["Mean error of a predicted rating; lower is better.", "预测评分的平均误差；越低越好。"],
};

const MODELS = {
  popular: ["the same for everyone: what most take", "人人相同：大多数人选的"],
  "popular lately": ["what most took recently", "最近大多数人选的"],
  "popular in category": ["what most take in categories that the shopper likes", "顾客喜欢的类别中大多数人选的"],
  habit: ["what this shopper takes again and again", "这位顾客反复选的"],
  "item model": ["goods that are taken by the same people", "被同一批人选择的商品"],
  alignment: ["reads texts, and learned which go together", "读懂文字，并学会哪些相配"],
  blend: ["the weighted sum of the others", "其他模型的加权和"],
};

const KINDS = {
  view: ["looked at", "浏览"],
  click: ["clicked on", "点击"],
  cart: ["put into the cart", "加购"],
  buy: ["bought", "购买"],
  rate: ["rated", "评分"],
  search: ["searched for", "搜索"],
  other: ["chose", "选择"],
};

const CAUSES = {
  bought_together: ["taken by those who took {past}", "喜欢 {past} 的人也选它"],
  similar_meaning: ["reads like {past}", "描述与 {past} 相近"],
  repeat: ["taken before", "以前选过"],
  popular: ["many take it", "很多人选"],
  trending: ["many took it lately", "最近很多人选"],
  popular_in_category: ["many take it in {category}", "在“{category}”中很多人选"],
  baseline: ["starting value", "起始值"],
  other: ["{n} smaller parts", "{n} 个较小的部分"],
};

// What the server says of its rules, with what it is in Chinese.
const RULES = [
  [/^repeats are wanted$/, "欢迎重复购买"],
  [/^may come again after (\d+) days$/, "$1 天后可以再次出现"],
  [/^(\d+) with a higher score kept away: (.+)$/, "$1 件得分更高的商品被排除：$2"],
  [/blocked by the shop/, "被商店屏蔽"],
  [/not available/, "缺货"],
  [/outside the price range/, "超出价格范围"],
  [/already bought/, "已经买过"],
  [/place kept for something new/, "位置留给新商品"],
  [/at most (\d+) per category/, "每个类别最多 $1 件"],
];

let at = 0;

/** Remembers what was chosen; a browser that forbids storage only forgets. */
export const memory = {
  get(key) {
    try { return localStorage.getItem(key); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, value); } catch { /* private window */ }
  },
};

export const language = () => ["en", "zh-CN"][at];

/** The language that was chosen before, else that of the browser. */
export function firstLanguage() {
  setLanguage(memory.get("lingxi-language") ?? navigator.language ?? "en");
}

export function setLanguage(name) {
  at = name.toLowerCase().startsWith("zh") ? 1 : 0;
  document.documentElement.lang = language();
}

export function otherLanguage() {
  setLanguage(at ? "en" : "zh");
  memory.set("lingxi-language", language());
}

const put = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const say = (pair, values = {}) => put(pair[at], values);

export const t = (key, values) => say(TEXTS[key], values);
export const saved = (kind, values) => say(TEXTS.saved[kind], values);
export const terms = () => TEXTS.terms.map((pair) => pair[at]);
export const kind = (name) => (KINDS[name] ? say(KINDS[name]) : name);
export const metricSaid = (name) => say(METRICS[name.split("@")[0]] ?? ["", ""]);
export const modelSaid = (name) => (MODELS[name] ? say(MODELS[name]) : "");
export const refusal = (error) =>
  error.message === "unreachable" ? [t("unreachable"), t("unreachableRemedy")] : [error.message, error.remedy ?? ""];

export const number = (value, digits = 2) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
export const exact = (value, digits = 4) => Number(value).toFixed(digits);
export const signed = (value) => (value < 0 ? "−" : "+") + exact(Math.abs(value));
export const percent = (value) => new Intl.NumberFormat(language(), { style: "percent", maximumSignificantDigits: 2 }).format(value);
export const list = (names) => names.join(at ? "、" : ", ");

/** At most three names, so that the line stays a line. */
export function names(titles) {
  const quoted = titles.slice(0, 3).map((title) => `“${title}”`);
  const n = titles.length - 3;
  return n > 0 ? t("andMore", { names: list(quoted), n: at ? titles.length : n }) : list(quoted);
}

/** A moment in the reader's own zone; an event without one has only its place in the order. */
export function when(timestamp) {
  if (!timestamp) return "";
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(timestamp));
}

/** One part of a score in a few words. */
export function cause(part) {
  const past = part.past ? `“${part.past.title}”` : "";
  const more = part.past?.more ? (at ? `等 ${part.past.more + 1} 件` : ` and ${part.past.more} more`) : "";
  const words = part.words?.length ? ` (${part.words.join(", ")})` : "";
  const values = { past: past + more, category: part.category ?? "", n: part.merged ?? 1 };
  return say(CAUSES[part.by] ?? [part.by, part.by], values) + words;
}

/** Why an item is shown: the server's English sentence, or the same said in Chinese from the parts. */
export const reason = (place) => (at ? chinese(place) : place.Reason);

// Follows the server's rule: two causes from the past, one for each item, then two others; only what speaks for the item.
function chinese({ Parts, Explored }) {
  const good = Parts.filter((part) => part.value > 0);
  const past = good.filter((part, i) => part.past && good.findIndex((p) => p.past?.id === part.past.id) === i);
  const others = good.filter((part) => ["repeat", "popular", "trending", "popular_in_category"].includes(part.by));
  const because = past.slice(0, 2).map((part) => `您${did(part.past.kind)}“${part.past.title}”${part.past.more ? `等 ${part.past.more + 1} 件同类` : ""}${part.words?.length ? `（${part.words.join("、")}）` : ""}`);
  const said = [because.length ? `因为${because.join("，")}` : "", ...others.slice(0, 2).map(cause)].filter(Boolean);
  return (said.join("；") || "目前还没有支持它的理由") + "。" + (Explored ? "展示它是为了了解您是否喜欢。" : "");
}

const did = (name) => ({ rate: "评价过", cart: "加购过", buy: "买过", view: "看过", click: "点击过", search: "搜索过" })[name] ?? "选过";

export const rule = (text) => (at ? RULES.reduce((said, [from, to]) => said.replace(from, to), text) : text);
