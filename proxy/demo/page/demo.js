// Shows one search in both orders. Everything from documents is set as text, never as markup.

const byId = (id) => document.getElementById(id);
const FIRST = 10;
const GAINS = [0, 0.01, 0.1, 1];
const NAMES = ["irrelevant", "related", "substitute", "exact"];
let shown = null; // the last answer
let limit = FIRST;
let latest = 0; // number of the last search sent: slower, older answers are dropped

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text, isError = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", isError);
}

async function search(query) {
  const number = ++latest;
  byId("query").value = query;
  for (const link of byId("samples").children) {
    if (link.textContent === query) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  say("Searching …");
  let answer;
  try {
    const response = await fetch(`/api/search?q=${encodeURIComponent(query)}`);
    answer = await response.json();
  } catch {
    answer = { error: "The demo does not answer. Has it been stopped?" };
  }
  if (number !== latest) return;
  shown = answer;
  limit = FIRST;
  draw();
}

function draw() {
  const hits = shown.hits ?? [];
  byId("orders").hidden = byId("legend").hidden = hits.length === 0;
  byId("more").hidden = hits.length <= limit;
  byId("more").textContent = `Show all ${hits.length}`;
  byId("facts").replaceChildren(...facts(shown));
  const judged = Object.keys(shown.grades ?? {}).length > 0;
  if (!judged) byId("legend").hidden = true;
  if (shown.error || shown.engine) {
    say(shown.error ?? `The engine gave no answer (${shown.engine.status || "not reached"}). ${shown.engine.detail}`, true);
    return;
  }
  if (hits.length === 0) {
    say(shown.reason ? `Not reranked: ${shown.reason}.` : "Nothing found.");
    return;
  }
  say("");
  const engine = [...hits].sort((a, b) => a.engine_rank - b.engine_rank);
  fill("engine", engine, (hit) => hit.engine_rank, (hit) => `score ${hit.engine_score.toFixed(2)}`);
  fill("reranked", hits, (hit) => hit.rank, (hit) =>
    hit.logit === null ? "not scored" : `score ${hit.score.toFixed(4)}, logit ${hit.logit.toFixed(2)}`);
  byId("engine-ndcg").textContent = judged ? `nDCG@10 ${ndcg(engine).toFixed(3)}` : "";
  byId("reranked-ndcg").textContent = judged ? `nDCG@10 ${ndcg(hits).toFixed(3)}` : "";
}

function facts(answer) {
  if (!answer.header) return [];
  const times = answer.timings_ms ?? {};
  const entries = [["status", answer.header]];
  if (times.upstream !== undefined) entries.push(["engine", `${times.upstream} ms`]);
  if (times.score !== undefined) {
    entries.push(["scoring", `${times.score} ms for ${answer.hits.length} pairs, ${answer.cached} from the cache`]);
  }
  if (answer.query_text) entries.push(["query text", answer.query_text.text]);
  if (answer.text) entries.push(["document text", answer.text]);
  return entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function fill(id, hits, rankOf, scoreOf) {
  const rows = hits.slice(0, limit).map((hit) => row(hit, rankOf(hit), scoreOf(hit), id === "reranked"));
  byId(id).replaceChildren(...rows);
}

function row(hit, rank, score, isReranked) {
  const product = hit._source ?? {};
  const grade = (shown.grades ?? {})[hit._id];
  const detail = element("div", { class: "detail" });
  if (product.price !== undefined) detail.append(element("span", {}, `$${product.price.toFixed(2)}`));
  if (product.brand) detail.append(element("span", {}, product.brand));
  if (product.stars !== undefined) detail.append(element("span", {}, `★ ${product.stars} (${product.ratings ?? 0})`));
  detail.append(element("span", { class: "score" }, score));
  if (grade !== undefined) detail.append(element("span", { class: `grade g${grade}` }, NAMES[grade]));
  const made = element("li", { "data-id": hit._id, tabindex: "0" },
    element("span", { class: "rank" }, String(rank)),
    element("span", { class: "title" }, product.title ?? hit._id),
    move(hit, isReranked), detail);
  for (const kind of ["mouseenter", "focus"]) made.addEventListener(kind, () => mark(hit._id, true));
  for (const kind of ["mouseleave", "blur"]) made.addEventListener(kind, () => mark(hit._id, false));
  return made;
}

function move(hit, isReranked) {
  const places = hit.engine_rank - hit.rank;
  const goes = places > 0 ? "up" : places < 0 ? "down" : "same";
  const arrow = { up: "▲", down: "▼", same: "=" }[goes];
  const other = isReranked ? `was ${hit.engine_rank}` : `now ${hit.rank}`;
  const spoken = goes === "same" ? "stays" : `${goes} ${Math.abs(places)} places, ${other}`;
  const text = goes === "same" ? arrow : `${arrow} ${Math.abs(places)}`;
  return element("span", { class: `move ${goes}`, title: other, "aria-label": spoken, role: "img" }, text);
}

function mark(id, on) {
  for (const row of document.querySelectorAll(`li[data-id="${CSS.escape(id)}"]`)) row.classList.toggle("twin", on);
}

function ndcg(hits) {
  const gain = (grade) => GAINS[grade ?? 0];
  const dcg = (gains) => gains.slice(0, 10).reduce((sum, value, at) => sum + value / Math.log2(at + 2), 0);
  const best = dcg(Object.values(shown.grades).map(gain).sort((a, b) => b - a));
  return best === 0 ? 0 : dcg(hits.map((hit) => gain(shown.grades[hit._id]))) / best;
}

function go(query, remember = true) {
  if (!query) return;
  if (remember) history.pushState(null, "", `/?q=${encodeURIComponent(query)}`);
  search(query);
}

async function start() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    go(byId("query").value.trim());
  });
  byId("more").addEventListener("click", () => {
    limit = Infinity;
    draw();
  });
  const fromAddress = () => new URLSearchParams(location.search).get("q");
  window.addEventListener("popstate", () => fromAddress() && go(fromAddress(), false));
  try {
    const setting = await (await fetch("/api/queries")).json();
    byId("about").textContent =
      `The same search twice, over ${setting.products} products: a multi_match over ${setting.fields.join(", ")}, ` +
      "in the engine's order and reranked by the proxy.";
    for (const text of setting.queries) {
      const link = element("a", { href: `/?q=${encodeURIComponent(text)}` }, text);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        go(text);
      });
      byId("samples").append(link);
    }
    go(fromAddress() ?? setting.queries[0], false);
  } catch {
    say("The demo does not answer. Has it been stopped?", true);
  }
}

start();
