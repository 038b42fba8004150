// Shows one search in both orders. Everything from documents is set as text, never as markup.

const byId = (id) => document.getElementById(id);
const FIRST = 10;
const GAINS = [0, 0.01, 0.1, 1]; // by grade, as `rerank-proxy evaluate` takes them
const GRADES = ["irrelevant", "related", "substitute", "exact"];
const OPENING = "phone case without card holder";
const ARROWS = { up: "▲", down: "▼", same: "=" };
const STOPPED = "The demo does not answer. It has probably been stopped: start it again with “rerank-proxy demo”.";

let shown = { hits: [] }; // the last answer
let limit = FIRST; // how many hits of each order are shown
let latest = 0; // number of the last search sent: an older answer that comes later is dropped
const pointed = { hover: null, focus: null }; // ids of the hits under the pointer and with the focus

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

// --- searching

async function ask(query) {
  try {
    const response = await fetch(`/api/search?q=${encodeURIComponent(query)}`);
    return await response.json();
  } catch {
    return { error: STOPPED };
  }
}

async function search(query) {
  const mine = ++latest;
  byId("query").value = query;
  document.title = `${query} · rerank-proxy demo`;
  for (const link of document.querySelectorAll(".samples a")) {
    link.toggleAttribute("aria-current", link.textContent === query);
  }
  byId("orders").setAttribute("aria-busy", "true");
  const answer = await ask(query);
  if (mine !== latest) return;
  shown = { ...answer, hits: answer.hits ?? [] };
  limit = FIRST;
  pointed.hover = pointed.focus = null;
  byId("orders").removeAttribute("aria-busy");
  draw();
}

function go(query, history_ = "pushState") {
  if (!query) {
    say("Type what you are looking for.");
    byId("query").focus();
    return;
  }
  history[history_](null, "", `/?q=${encodeURIComponent(query)}`);
  search(query);
}

// --- drawing an answer

function say(text, isError = false, detail = "") {
  byId("message").replaceChildren(text, ...(detail ? [element("small", {}, detail)] : []));
  byId("message").classList.toggle("error", isError);
}

function draw() {
  const hits = shown.hits;
  const judged = Object.keys(shown.grades ?? {}).length > 0;
  const engine = [...hits].sort((a, b) => a.engine_rank - b.engine_rank);
  const failed = Boolean(shown.error);
  document.body.classList.toggle("failed", failed);
  for (const id of ["heads", "orders"]) byId(id).hidden = hits.length === 0;
  byId("legend").hidden = !judged || hits.length === 0;
  byId("facts").replaceChildren(...(failed ? [] : facts(shown).map(([name, value]) => pair(name, value))));
  byId("decisions").hidden = failed;
  byId("decided").replaceChildren(...decisions(shown).map(([name, value]) => pair(name, value)));
  say(failed ? shown.error : summary(hits), failed, failed ? shown.detail : "");
  drawOrders(engine);
  byId("engine-ndcg").textContent = judged ? `nDCG@10 ${ndcg(engine).toFixed(3)}` : "";
  byId("reranked-ndcg").textContent = judged ? `nDCG@10 ${ndcg(hits).toFixed(3)}` : "";
}

function drawOrders(engine) {
  const rows = Math.min(limit, engine.length);
  const more = byId("more");
  byId("orders").style.setProperty("--rows", Math.max(1, rows));
  byId("engine").replaceChildren(...engine.slice(0, rows).map((hit) => card(hit, "engine")));
  byId("reranked").replaceChildren(...shown.hits.slice(0, rows).map((hit) => card(hit, "reranked")));
  more.hidden = engine.length <= FIRST;
  more.textContent = limit > FIRST ? `Show the first ${FIRST}` : `Show all ${engine.length}`;
  more.setAttribute("aria-expanded", String(limit > FIRST));
  drawMoves();
  mark();
}

function summary(hits) {
  if (hits.length === 0) return shown.reason ? `Not reranked: ${shown.reason}.` : "Nothing found. Try other words.";
  if (hits.every((hit) => hit.logit === null)) {
    return shown.reason
      ? `Not reranked (${shown.reason}): both columns show the engine's order.`
      : "This model keeps the engine's order: both columns are the same.";
  }
  const top = hits.slice(0, FIRST);
  const risen = top.filter((hit) => hit.engine_rank > FIRST).length;
  const firstWas = hits[0].engine_rank;
  const first = firstWas === 1 ? "The engine's first hit stays first" : `The engine's ${ordinal(firstWas)} hit is now first`;
  if (hits.length <= FIRST) return `${first}.`;
  if (risen === 0) return `${first}; the first ten are the same ten.`;
  return `${first}; ${risen} of the first ten ${risen === 1 ? "comes" : "come"} from further down.`;
}

function ordinal(rank) {
  const ending = rank % 100 > 10 && rank % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][rank % 10] ?? "th");
  return `${rank}${ending}`;
}

function facts(answer) {
  const times = answer.timings_ms ?? {};
  const pairs = answer.hits.filter((hit) => hit.logit !== null).length;
  return [
    ["X-Rerank-Status", answer.header ?? answer.status],
    ["Engine", `${number(times.upstream ?? 0, 1)} ms`],
    ["Scoring", `${number(times.score ?? 0, 1)} ms`],
    ["Pairs", `${pairs} of ${answer.hits.length} scored`],
    ["From the cache", String(answer.cached ?? 0)],
  ];
}

function decisions(answer) {
  const found = [];
  if (answer.query_text) found.push(["Query text", `${answer.query_text.text} (from ${answer.query_text.source})`]);
  if (answer.text_line) found.push(["Document text, as a setting", answer.text_line]);
  if (answer.rule) found.push(["Model, window", `${answer.rule.model}, ${answer.rule.window} hits`]);
  for (const warning of answer.warnings ?? []) found.push(["Warning", warning]);
  return found;
}

const pair = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));

function ndcg(hits) {
  const gain = (grade) => GAINS[grade ?? 0];
  const dcg = (gains) => gains.slice(0, 10).reduce((sum, value, at) => sum + value / Math.log2(at + 2), 0);
  const best = dcg(Object.values(shown.grades).map(gain).sort((a, b) => b - a));
  return best === 0 ? 0 : dcg(hits.map((hit) => gain(shown.grades[hit._id]))) / best;
}

// --- one hit

function card(hit, column) {
  const product = hit._source ?? {};
  const grade = (shown.grades ?? {})[hit._id];
  const seenId = `seen-${column}-${hit.engine_rank}`;
  const title = element("button", { type: "button", class: "title", "aria-expanded": "false", "aria-controls": seenId },
    product.title ?? hit._id);
  const seen = element("p", { class: "seen", id: seenId, hidden: "" }, `The model reads: ${hit.text ?? "nothing, it has no text"}`);
  title.addEventListener("click", () => {
    seen.hidden = !seen.hidden;
    title.setAttribute("aria-expanded", String(!seen.hidden));
    drawMoves();
  });
  const made = element("li", { class: "card", "data-id": hit._id },
    element("span", { class: "rank" }, String(column === "engine" ? hit.engine_rank : hit.rank)),
    title, move(hit, column), shopLine(product), scoreLine(hit, column, grade), seen);
  made.dataset.grade = grade ?? "";
  return made;
}

function shopLine(product) {
  const line = element("p", { class: "shop" });
  if (product.price !== undefined) line.append(element("b", {}, `$${number(product.price, 2)}`));
  if (product.stars !== undefined) {
    const spoken = `${product.stars} stars of 5, ${product.ratings ?? 0} ratings`;
    line.append(element("span", { role: "img", "aria-label": spoken }, `★ ${number(product.stars, 1)} (${number(product.ratings ?? 0)})`));
  }
  const made = [product.brand, product.color].filter(Boolean).join(", ");
  if (made) line.append(element("span", {}, made));
  return line;
}

function scoreLine(hit, column, grade) {
  const values = element("span", { class: "values" });
  if (column === "engine") values.append(value("score", hit.engine_score?.toFixed(2) ?? "none"));
  else if (hit.logit === null) values.append(value("score", hit.score?.toFixed(4) ?? "none"), "not scored");
  else values.append(value("score", hit.score.toFixed(4)), value("logit", hit.logit.toFixed(2)));
  const line = element("p", { class: "scores" }, values);
  if (grade !== undefined) line.append(element("span", { class: `grade g${grade}` }, GRADES[grade]));
  return line;
}

const value = (name, text) => element("span", {}, `${name} `, element("b", {}, text));

function move(hit, column) {
  const places = hit.engine_rank - hit.rank;
  const goes = places > 0 ? "up" : places < 0 ? "down" : "same";
  const count = Math.abs(places);
  const other = column === "engine" ? `now ${hit.rank}` : `was ${hit.engine_rank}`;
  const spoken = goes === "same" ? "keeps its place" : `${goes} ${count} ${count === 1 ? "place" : "places"}, ${other}`;
  const made = element("span", { class: `move ${goes}`, role: "img", "aria-label": spoken },
    element("b", {}, goes === "same" ? ARROWS.same : `${ARROWS[goes]} ${count}`));
  if (goes !== "same") made.append(element("small", {}, other));
  return made;
}

// --- who is whose twin

function drawMoves() {
  const picture = byId("moves");
  const cards = (id) => new Map([...byId(id).children].map((card) => [card.dataset.id, card]));
  const [left, right] = [cards("engine"), cards("reranked")];
  const origin = byId("orders").getBoundingClientRect();
  const middle = (card) => {
    const box = card.getBoundingClientRect();
    return box.top + box.height / 2 - origin.top;
  };
  const inner = [byId("engine").getBoundingClientRect().right, byId("reranked").getBoundingClientRect().left];
  const [x0, x1] = inner.map((x) => x - origin.left);
  const half = (x0 + x1) / 2;
  const lines = [];
  for (const hit of shown.hits) {
    const [from, to] = [left.get(hit._id), right.get(hit._id)];
    if (from && to) {
      const [y0, y1] = [middle(from), middle(to)];
      lines.push(line(hit, `M${x0} ${y0}C${half} ${y0} ${half} ${y1} ${x1} ${y1}`));
    } else if (from) {
      const y = middle(from); // it leaves the part that is shown
      lines.push(line(hit, `M${x0} ${y}q${(half - x0) * 0.55} 0 ${(half - x0) * 0.55} 22`, "leaves"));
    } else if (to) {
      const y = middle(to);
      lines.push(line(hit, `M${x1} ${y}q${(half - x1) * 0.55} 0 ${(half - x1) * 0.55} 22`, "leaves"));
    }
  }
  picture.replaceChildren(...lines);
}

function line(hit, path, kind = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const goes = hit.rank < hit.engine_rank ? "up" : hit.rank > hit.engine_rank ? "down" : "same";
  made.setAttribute("d", path);
  made.setAttribute("class", `${goes} ${kind}`);
  made.dataset.id = hit._id;
  return made;
}

function mark() {
  const id = pointed.hover ?? pointed.focus;
  for (const one of document.querySelectorAll("#orders [data-id]")) one.classList.toggle("twin", one.dataset.id === id);
  byId("orders").classList.toggle("marking", id !== null);
}

function point(kind, target) {
  const id = target?.closest?.("#orders .card")?.dataset.id ?? null;
  if (pointed[kind] === id) return;
  pointed[kind] = id;
  mark();
}

// --- starting

function skeleton() {
  byId("orders").setAttribute("aria-busy", "true");
  for (const column of ["engine", "reranked"]) {
    byId(column).replaceChildren(...Array.from({ length: FIRST }, () => element("li", { class: "card empty" })));
  }
}

async function listAll() {
  if (byId("all-samples").children.length > 0) return;
  try {
    const { queries } = await (await fetch("/api/queries")).json();
    byId("all-samples").replaceChildren(
      ...queries.map((text) => element("a", { href: `/?q=${encodeURIComponent(text)}` }, text)));
  } catch {
    say(STOPPED, true);
  }
}

function start() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    go(byId("query").value.trim());
  });
  document.querySelector("nav").addEventListener("click", (event) => {
    const link = event.target.closest(".samples a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab or window is wanted
    event.preventDefault();
    go(link.textContent);
  });
  byId("all").addEventListener("toggle", listAll);
  byId("more").addEventListener("click", () => {
    limit = limit > FIRST ? FIRST : Infinity;
    drawOrders([...shown.hits].sort((a, b) => a.engine_rank - b.engine_rank));
  });
  byId("orders").addEventListener("pointerover", (event) => point("hover", event.target));
  byId("orders").addEventListener("pointerleave", () => point("hover", null));
  byId("orders").addEventListener("focusin", (event) => point("focus", event.target));
  byId("orders").addEventListener("focusout", (event) => point("focus", event.relatedTarget));
  new ResizeObserver(drawMoves).observe(byId("orders"));
  const fromAddress = () => new URLSearchParams(location.search).get("q")?.trim() || OPENING;
  window.addEventListener("popstate", () => search(fromAddress()));
  skeleton();
  go(fromAddress(), "replaceState");
}

start();
