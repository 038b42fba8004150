"""Runs a suite on an engine, directly and through the proxy, and finds what differs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from proxy.edge.headers import QUERY_HEADER
from proxy.edge.outcome_headers import STATUS_HEADER
from tests.rest_suite.cases import Case
from tests.rest_suite.client import Client
from tests.rest_suite.cluster import Cluster, read_cluster, wipe
from tests.rest_suite.run import Exchange, Result, run_case
from tests.rest_suite.spec import Api

_SEARCHES = frozenset({"search", "msearch"})
_COMPARED_APIS = _SEARCHES | {
    *("scroll", "search_template", "msearch_template", "render_search_template", "search_shards", "knn_search"),
    *("count", "explain", "field_caps", "indices.validate_query", "terms_enum", "rank_eval"),
    *("get", "get_source", "mget", "exists", "exists_source", "termvectors", "mtermvectors"),
}
"""Whose answers are the same each time, but for what is made volatile below."""
_VOLATILE = [
    (re.compile(rb'("took"\s*:\s*)\d+'), rb"\1N"),
    (re.compile(rb'("(?:_scroll_id|pit_id|index_uuid)"\s*:\s*)"[^"]*"'), rb"\1N"),
    # Measured times of a profile, and the engine's own objects in messages.
    (re.compile(rb'("(?:[a-z_]*time_in_(?:millis|nanos)|[a-z]+_slice_[a-z_]*time)"\s*:\s*)\d+'), rb"\1N"),
    (re.compile(rb'("breakdown"\s*:\s*)\{[^}]*\}'), rb"\1N"),
    (re.compile(rb"@[0-9a-f]{5,8}\b"), rb"@N"),
]
_UNORDERED_APIS = frozenset({"field_caps"})
"""Their keys come in another order each time: the engine gathers them from its shards as they answer."""


@dataclass
class Comparison:
    """What came out of a suite."""

    direct: Counter[str] = field(default_factory=Counter)
    """Cases by status."""
    proxied: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """Searches through the proxy, those within multi-searches too, by what became of them: its own metric."""
    fallbacks: dict[str, str] = field(default_factory=dict)
    """Searches that the engine answers though ours failed: none is lost, but none is reranked either."""
    compared: int = 0
    """Answers of searches that were compared byte by byte, apart from ids and times."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cases that fail directly, and why."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Why cases are not run."""
    differences: dict[str, str] = field(default_factory=dict)
    """Cases that go another way through the proxy, seen twice."""
    left: dict[str, str] = field(default_factory=dict)
    """What could not be wiped away, and after which case it was there first."""

    @property
    def reranked(self) -> int:
        """Searches whose window was asked for and whose page was written by the proxy."""
        return self.statuses["full"]

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [f"directly: {_counted(self.direct)}"]
        if self.proxied:
            lines += [
                f"through the proxy: {_counted(self.proxied)}",
                f"searches by status: {_counted(self.statuses)}",
                f"answers of searches compared: {self.compared}",
                f"differences: {len(self.differences)}",
            ]
        for title, cases in (
            ("DIFFERENT", self.differences),
            ("not reranked", self.fallbacks),
            ("fails directly", self.failed),
        ):
            lines += [f"{title}: {case}: {why}" for case, why in cases.items()]
        lines += [f"left behind by {case}: {what}" for what, case in self.left.items()]
        return [*lines, *(f"skipped {count}: {why}" for why, count in self.skipped.most_common())]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


class Runner:
    """Runs cases on one engine; a context manager that closes its connections."""

    def __init__(
        self, apis: dict[str, Api], engine_url: str, proxy_url: str | None, query_text: str | None = None
    ) -> None:
        """Connect.

        Args:
            apis: of the suite.
            engine_url: where the engine answers.
            proxy_url: where the proxy in front of it answers; None: directly only.
            query_text: what the proxy is told to rank by; None: it is left to find it.
        """
        self._apis = apis
        self._engine = Client(engine_url)
        self._proxy = Client(proxy_url, {QUERY_HEADER: query_text} if query_text else None) if proxy_url else None
        self.cluster: Cluster = read_cluster(self._engine)

    def __enter__(self) -> Runner:
        """Nothing is left to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._engine.close()
        if self._proxy is not None:
            self._proxy.close()

    def run(self, cases: Iterable[Case]) -> Comparison:
        """Run each case directly, then through the proxy, each time on a wiped cluster."""
        comparison = Comparison()
        comparison.left.update(dict.fromkeys(wipe(self._engine), "what was there before"))
        for case in cases:
            self._run_both(case, comparison)
        if self._proxy is not None:
            comparison.statuses = _statuses(self._proxy)
        return comparison

    def _run(self, case: Case, client: Client, comparison: Comparison) -> Result:
        result = run_case(case, client, self._apis, self.cluster)
        for what in wipe(self._engine) if result.exchanges else ():
            comparison.left.setdefault(what, str(case))
        return result

    def _run_both(self, case: Case, comparison: Comparison) -> None:
        direct = self._run(case, self._engine, comparison)
        comparison.direct[direct.status] += 1
        if direct.status == "failed":
            comparison.failed[str(case)] = direct.detail
        if direct.status == "skipped":
            comparison.skipped[direct.detail] += 1
        if self._proxy is None:
            return
        proxied = self._run(case, self._proxy, comparison)
        comparison.proxied[proxied.status] += 1
        comparison.compared += sum(exchange.api in _SEARCHES for exchange in proxied.exchanges)
        comparison.fallbacks.update(_fallbacks(case, proxied))
        why = difference(direct, proxied)
        if why is None:
            return
        # What is not the same twice directly proves nothing.
        again = self._run(case, self._engine, comparison)
        if difference(direct, again) is None and (why := difference(again, self._run(case, self._proxy, comparison))):
            comparison.differences[str(case)] = why


def _fallbacks(case: Case, result: Result) -> Iterator[tuple[str, str]]:
    for exchange in result.exchanges:
        status = next(iter(exchange.response.all_headers(STATUS_HEADER)), "")
        counted = re.search(r"fallback=(\d+)", status)
        fallbacks = int(counted[1]) if counted else int(status.startswith("fallback"))
        if exchange.response.status == 200 and fallbacks > _errors(exchange):
            yield f"{case}: {exchange.request}", status


def _errors(exchange: Exchange) -> int:
    """Return how many of its searches fail on the engine itself, wholly or on some shard."""
    answer = exchange.response.parsed
    if not isinstance(answer, dict):
        return 0
    items = answer.get("responses", []) if exchange.api == "msearch" else [answer]
    return sum("error" in item or bool(item.get("_shards", {}).get("failed")) for item in items)


def _statuses(proxy: Client) -> Counter[str]:
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(proxy.ask("GET", "/_rerank/metrics").text):
        for sample in family.samples:
            if sample.name == "rerank_searches_total":
                counts["; reason=".join(filter(None, map(sample.labels.get, ("status", "reason"))))] += int(
                    sample.value
                )
    return counts


def difference(one: Result, other: Result) -> str | None:
    """Say what the second run of a case has that the first has not; None: nothing."""
    if one.status != other.status:
        return f"{one.status} directly, {other.status} through the proxy: {other.detail or one.detail}"
    for left, right in zip(one.exchanges, other.exchanges, strict=False):
        if left.api not in _COMPARED_APIS:
            continue
        for what, value in _COMPARED.items():
            if value(left) != value(right):
                return f"{left.request}: {what} {value(right)!r} through the proxy, {value(left)!r} directly"
    return None


def _body(exchange: Exchange) -> bytes:
    body = exchange.response.body
    for pattern, replacement in _VOLATILE:
        body = pattern.sub(replacement, body)
    if exchange.api in _UNORDERED_APIS and exchange.response.status == 200:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    return body


_COMPARED: dict[str, Callable[[Exchange], object]] = {
    "status": lambda exchange: exchange.response.status,
    "type": lambda exchange: exchange.response.all_headers("content-type"),
    "body": _body,
}
