"""Turns logs of User Behavior Insights into judgements: clicks, carts and purchases, without the bias of the position.

1. Clients that click or search more than people can are cut.
2. What a search showed is taken from its impression events, else from ``query_response_hit_ids``. A click on something
   that was not shown, or in a search of which neither is known, tells nothing of what was passed over and is left out.
3. A document counts once a search: the most that was done with it, so double clicks are one. The same results shown
   again to the same person within half an hour (the way back from a product's page) are one search.
4. Searches for the same words, case and white space apart, are put together; `training.click_models` names the method
   that takes the position out.
5. The grade is the relevance divided by that of the 95th percentile of the clicked pairs, at most 1; the weight is
   looks / (looks + prior), so that a pair that was hardly seen hardly counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from proxy.evaluate.qrels import BadInput
from training import click_models, ubi_cluster
from training.click_models import Cells, Propensities, TooLittle
from training.json_files import read_records
from training.options import Options
from training.ubi_log import Event, Log, Search, add_events, add_queries, parse_time

ACTIONS = {"click": 1.0, "click_through": 1.0, "add_to_cart": 2.0, "purchase": 3.0}
"""What an action is worth beside the others."""
IMPRESSIONS = ("impression",)
"""Actions that say that a document was shown."""
FULL_GRADE_QUANTILE = 0.95
"""Of the relevance of clicked pairs: from there on the grade is 1."""
LEVELS = 4
"""Grades 0 to 3 of the table that is written, cut at 1/4, 1/2 and 3/4."""
METHODS = ("auto", "pbm", "coec")


@dataclass(frozen=True)
class Settings:
    """How a log becomes judgements."""

    method: str = "auto"
    """``pbm``, ``coec``, or ``auto``: pbm where the log has enough for it, else coec."""
    actions: Mapping[str, float] = field(default_factory=lambda: dict(ACTIONS))
    impressions: tuple[str, ...] = IMPRESSIONS
    prior: float = 10.0
    """Looks of mean worth that are added to each pair's own."""
    min_impressions: int = 10
    """Pairs shown less often are not judged."""
    max_rank: int = 50
    """What was shown behind is not used."""
    first_ordinal: int = 1
    """Ordinal of the first hit."""
    max_clicks_per_hour: int = 100
    """A client with more documents clicked in an hour is no person; what has no time counts as one hour."""
    max_searches_per_hour: int = 300
    """The same for searches."""
    repeat_minutes: float = 30.0
    """Within which the same results for the same person are one search."""


@dataclass(frozen=True)
class Pair:
    """A judged pair."""

    query: str
    document_id: str
    relevance: float
    """Grade, 0 to 1."""
    weight: float
    """Above 0, below 1."""
    impressions: int
    clicks: int

    @property
    def level(self) -> int:
        """The grade as a whole number, 0 to 3."""
        return min(LEVELS - 1, int(self.relevance * LEVELS))


@dataclass
class Judged:
    """Judgements, and how they came about."""

    pairs: list[Pair]
    """By query, the most shown first; within a query the best first."""
    propensities: Propensities
    spared: list[tuple[str, str]] = field(default_factory=list)
    """(query, document id) of judged queries: clicked, but shown too rarely to be judged. No negatives."""
    searches: int = 0
    """Used ones."""
    clicks: int = 0
    """Documents that were clicked, or more, in them."""

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len({pair.query for pair in self.pairs})


def settings(options: Options) -> Settings:
    """Read the settings from a source's options. Raises BadInput."""
    plain = Settings()
    method = options.text("method", plain.method)
    if method not in METHODS:
        raise BadInput(f"{options.where}: method must be one of {', '.join(METHODS)}, found {method!r}")
    actions = options.table("actions") or dict(ACTIONS)
    if not any(actions.values()):
        raise BadInput(f"{options.where}: actions: one must be worth more than 0")
    return Settings(
        method=method,
        actions={name: worth for name, worth in actions.items() if worth},
        impressions=options.names("impressions", plain.impressions),
        prior=options.number("prior", plain.prior, 1e-6),
        min_impressions=options.whole("min_impressions", plain.min_impressions),
        max_rank=options.whole("max_rank", plain.max_rank),
        first_ordinal=options.whole("first_ordinal", plain.first_ordinal, 0),
        max_clicks_per_hour=options.whole("max_clicks_per_hour", plain.max_clicks_per_hour),
        max_searches_per_hour=options.whole("max_searches_per_hour", plain.max_searches_per_hour),
        repeat_minutes=options.number("repeat_minutes", plain.repeat_minutes),
    )


def read_log(options: Options, say: Callable[[str], None]) -> Log:
    """Read the log that a source names: ``events`` with ``queries``, or the indices at ``url``.

    Raises:
        BadInput: neither or both are named, a file is wrong, or the cluster cannot be read.
    """
    log, wanted = Log(), settings(options)
    actions = (*wanted.actions, *wanted.impressions)
    since = parse_time(options.text("since"), f"{options.where}: since") if options.has("since") else None
    skip = options.flag("skip_malformed")
    if options.has("url") == (options.has("events") or options.has("queries")):
        raise BadInput(f"{options.where}: give either url, or events and queries")
    if options.has("url"):
        queries, events = ubi_cluster.read(options, actions, since)
    else:
        queries = _records(options.path("queries"), "queries") if options.has("queries") else iter(())
        events = _records(options.path("events"), "events")
    add_queries(log, queries, since, skip)
    add_events(log, events, actions, since, skip)
    for reason, count in log.unused.items():
        say(f"{count} {reason} left out, the first one at {log.first[reason]}")
    return log


def _records(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    yield from tqdm(read_records(path), desc=what, unit="", disable=None)


def judge(log: Log, how: Settings, say: Callable[[str], None]) -> Judged:
    """Make judgements of a log; what is left out is said.

    Raises:
        BadInput: the log has nothing to judge by, or too little for the method that was asked for.
    """
    bots = _bots(log, how)
    if bots:
        searches = sum(search.client in bots for search in log.searches.values())
        events = sum(event.client in bots for event in log.events)
        say(
            f"{len(bots)} clients left out with {searches} searches and {events} events: more than "
            f"{how.max_clicks_per_hour} clicks or {how.max_searches_per_hour} searches in an hour"
        )
    shows = _merge_repeats(_shows(log, how, bots, say), how.repeat_minutes)
    names, cells = _count(shows)
    if not cells.clicked.sum():
        raise BadInput(f"the log has no {', '.join(how.actions)} on a document that its search is known to have shown")
    propensities = _propensities(cells, how, say)
    relevance, looks = click_models.relevances(cells, propensities, how.prior)
    pairs = _pairs(names, cells, relevance, looks, how, say)
    spared = _spared(names, cells, pairs)
    return Judged(pairs, propensities, spared, searches=len(shows), clicks=int(cells.clicked.sum()))


@dataclass(slots=True)
class _Show:
    """What one search showed, and what was done with it."""

    search: Search
    ranks: dict[str, int]
    """Document -> rank, from 1."""
    worth: dict[str, float]
    """Document -> what the best action was worth, above 0 to 1."""


def _bots(log: Log, how: Settings) -> set[str]:
    clicks: dict[tuple[str, int], set[tuple[str, str]]] = defaultdict(set)
    searches: Counter[tuple[str, int]] = Counter()
    for event in log.events:
        if event.client is not None and event.action in how.actions:
            clicks[event.client, _hour(event.at)].add((event.query_id, event.document_id))
    for search in log.searches.values():
        if search.client is not None:
            searches[search.client, _hour(search.at)] += 1
    found = {client for (client, _), clicked in clicks.items() if len(clicked) > how.max_clicks_per_hour}
    return found | {client for (client, _), count in searches.items() if count > how.max_searches_per_hour}


def _hour(at: float | None) -> int:
    return -1 if at is None else int(at // 3600)


def _shows(log: Log, how: Settings, bots: set[str], say: Callable[[str], None]) -> list[_Show]:
    """Say of each search that anything is known of what it showed."""
    worths = _worths(log, how)
    left_out: Counter[str] = Counter()
    events: dict[str, list[Event]] = defaultdict(list)
    for event in log.events:
        if event.client not in bots:
            events[event.query_id].append(event)
    shows, misplaced, placed = [], 0, 0
    for query_id, search in tqdm(log.searches.items(), desc="searches", unit="", disable=None):
        if search.client in bots:
            continue
        ranks = _ranks(search, events[query_id], how, left_out)
        if not ranks:
            left_out["searches of which nothing is known to have been shown"] += 1
        worth: dict[str, float] = {}
        for event in events[query_id]:
            if event.action not in worths:
                continue
            if event.document_id not in ranks:
                left_out["clicks (or more) on what their search is not known to have shown"] += 1
                continue
            if event.ordinal is not None:
                placed += 1
                misplaced += event.ordinal - how.first_ordinal + 1 != ranks[event.document_id]
            worth[event.document_id] = max(worth.get(event.document_id, 0.0), worths[event.action])
        ranks = {document: rank for document, rank in ranks.items() if rank <= how.max_rank}
        behind = len(worth.keys() - ranks.keys())
        if behind:
            left_out[f"clicked documents behind rank {how.max_rank}"] += behind
        if ranks:
            shows.append(_Show(search, ranks, {one: worth[one] for one in worth if one in ranks}))
    for reason, count in left_out.items():
        say(f"{count} {reason} left out")
    if misplaced:
        say(
            f"{misplaced} of {placed} clicks state another position than what was shown has; the latter is used. "
            f"If it is all of them, is the first ordinal {how.first_ordinal}?"
        )
    return shows


def _worths(log: Log, how: Settings) -> dict[str, float]:
    """Return what the actions of the log are worth, the most 1."""
    seen = {event.action for event in log.events} & set(how.actions)
    most = max((how.actions[action] for action in seen), default=1.0)
    return {action: how.actions[action] / most for action in seen}


def _ranks(search: Search, events: list[Event], how: Settings, left_out: Counter[str]) -> dict[str, int]:
    """Return the documents that a search showed, with their ranks."""
    returned = {document: rank for rank, document in enumerate(search.hits, start=1)}
    seen: dict[str, int] = {}
    impressions = 0
    for event in events:
        if event.action not in how.impressions:
            continue
        impressions += 1
        rank = returned.get(event.document_id)
        if event.ordinal is not None:
            rank = event.ordinal - how.first_ordinal + 1
        if rank is not None and rank < 1:
            left_out[
                f"impressions at ordinals below the first one, {how.first_ordinal} (where the first hit has 0, set "
                "first_ordinal: 0)"
            ] += 1
        elif rank is None:
            left_out["impressions without a position (none stated, and not among the hits of their query)"] += 1
        else:
            seen.setdefault(event.document_id, rank)
    return seen if impressions else returned


def _merge_repeats(shows: list[_Show], minutes: float) -> list[_Show]:
    """Make one of the same results that were shown again to the same person."""
    last: dict[tuple[str, str], tuple[_Show, float]] = {}
    merged = []
    for show in sorted(shows, key=lambda show: show.search.at or 0.0):
        person, at = show.search.person, show.search.at
        if person is None or at is None:
            merged.append(show)
            continue
        key = person, show.search.query.casefold()
        before = last.get(key)
        if before and at - before[1] <= 60 * minutes and _agree(before[0].ranks, show.ranks):
            kept = before[0]
            kept.ranks = {**show.ranks, **kept.ranks}
            kept.worth = {
                one: max(kept.worth.get(one, 0.0), show.worth.get(one, 0.0)) for one in {**kept.worth, **show.worth}
            }
        else:
            kept = show
            merged.append(show)
        last[key] = kept, at
    return merged


def _agree(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    common = one.keys() & other.keys()
    return bool(common) and all(one[document] == other[document] for document in common)


def _count(shows: list[_Show]) -> tuple[list[tuple[str, str]], Cells]:
    """Return the pairs' names, and the counts."""
    spelling: dict[str, Counter[str]] = defaultdict(Counter)
    counts: dict[tuple[str, str], dict[int, list[float]]] = {}
    for show in shows:
        query = show.search.query.casefold()
        spelling[query][show.search.query] += 1
        for document, rank in show.ranks.items():
            cell = counts.setdefault((query, document), {}).setdefault(rank, [0.0, 0.0, 0.0])
            cell[0] += 1
            if document in show.worth:
                cell[1] += 1
                cell[2] += show.worth[document]
    rows = [(number, rank, *cell) for number, by_rank in enumerate(counts.values()) for rank, cell in by_rank.items()]
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    names = [(spelling[query].most_common(1)[0][0], document) for query, document in counts]
    whole = table[:, :2].astype(np.int64)
    return names, Cells(whole[:, 0], whole[:, 1], table[:, 2], table[:, 3], table[:, 4])


def _propensities(cells: Cells, how: Settings, say: Callable[[str], None]) -> Propensities:
    if how.method == "coec":
        return click_models.coec(cells)
    try:
        return click_models.pbm(cells)
    except TooLittle as error:
        if how.method == "pbm":
            raise BadInput(f"method pbm: {error}; bring a longer log, or take method coec") from None
        say(f"method coec instead of pbm: {error}")
        return click_models.coec(cells)


def _pairs(
    names: list[tuple[str, str]],
    cells: Cells,
    relevance: click_models.Floats,
    looks: click_models.Floats,
    how: Settings,
    say: Callable[[str], None],
) -> list[Pair]:
    shown = np.bincount(cells.pair, weights=cells.shown, minlength=cells.pairs)
    clicked = np.bincount(cells.pair, weights=cells.clicked, minlength=cells.pairs)
    often = shown >= how.min_impressions
    judged = often & (looks > 0)
    queries = {query for (query, _), kept, clicks in zip(names, judged, clicked, strict=True) if kept and clicks}
    if not queries:
        raise BadInput(
            f"no clicked document was shown {how.min_impressions} times for a query; "
            "bring a longer log, or lower min_impressions"
        )
    full = float(np.quantile(relevance[judged & (clicked > 0)], FULL_GRADE_QUANTILE))
    by_query: dict[str, list[Pair]] = {query: [] for query, _ in names if query in queries}
    for number in np.flatnonzero(judged):
        query, document = names[number]
        if query in queries:
            weight = float(looks[number] / (looks[number] + how.prior))
            grade = min(1.0, float(relevance[number]) / full)
            by_query[query].append(Pair(query, document, grade, weight, int(shown[number]), int(clicked[number])))
    _say_left_out(names, often, queries, how, say)
    for pairs in by_query.values():
        pairs.sort(key=lambda pair: (-pair.relevance, pair.document_id))
    ordered = sorted(by_query.values(), key=lambda pairs: -sum(pair.impressions for pair in pairs))
    return [pair for pairs in ordered for pair in pairs]


def _spared(names: list[tuple[str, str]], cells: Cells, pairs: list[Pair]) -> list[tuple[str, str]]:
    clicked = np.bincount(cells.pair, weights=cells.clicked, minlength=cells.pairs)
    queries = {pair.query for pair in pairs}
    judged = {(pair.query, pair.document_id) for pair in pairs}
    return [
        name
        for name, clicks in zip(names, clicked, strict=True)
        if clicks and name[0] in queries and name not in judged
    ]


def _say_left_out(
    names: list[tuple[str, str]],
    often: npt.NDArray[np.bool_],
    queries: set[str],
    how: Settings,
    say: Callable[[str], None],
) -> None:
    rare = int((~often).sum())
    if rare:
        say(f"{rare} pairs left out: shown less than {how.min_impressions} times (min_impressions)")
    silent = len({query for query, _ in names} - queries)
    if silent:
        say(f"{silent} queries left out: no click on a document that was shown so often")
