"""The engines' own REST tests: what passes on the engine passes through the proxy, with every search reranked.

The model is ``identity``: searches are widened, answers cut to the client's page, and the order kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine, available
from tests.rest_suite.cases import read_cases
from tests.rest_suite.compare import Runner
from tests.rest_suite.fetch import own_suite
from tests.rest_suite.spec import read_apis
from tests.rest_suite.stand import QUERY_TEXT, engine_for_suite, proxy_for_suite
from tests.support import ProxyThread

_WITH_TEXTS = "search/,search.highlight/,search.inner_hits/,msearch/,suggest/"
_TEXT = "{foo} {text} {name} {field} {title} {keyword} {body} {message}"
"""Names of fields that many indices of the suites have."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@contextmanager
def _started(name: str) -> Iterator[Engine]:
    """An engine of its own: the suite wipes the cluster between cases."""
    missing = available(name)
    if missing is not None:
        if os.environ.get("RERANK_REQUIRE_ENGINES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with engine_for_suite(name) as engine:
        yield engine


@pytest.fixture(scope="module", name="suite_engine")
def _suite_engine() -> Iterator[Engine]:
    with _started("os") as engine:
        yield engine


@pytest.mark.slow
def test_what_passes_directly_passes_through_the_proxy(suite_engine: Engine) -> None:
    files = own_suite("os")
    cases = read_cases(files.tests)
    apis = read_apis(files.api)
    with proxy_for_suite(suite_engine) as proxy, Runner(apis, suite_engine.url, proxy.url) as runner:
        comparison = runner.run(cases)
    report = "\n".join(comparison.lines())
    print(report)
    assert not comparison.differences, report
    assert comparison.direct["passed"] >= 0.75 * len(cases), report
    assert comparison.direct["failed"] <= 0.05 * len(cases), report
    # Many searches of the suite have size 0, or another order than by score: these are not reranked.
    assert comparison.reranked >= 0.3 * sum(comparison.statuses.values()), report


def test_reading_the_documents_changes_no_answer(suite_engine: Engine) -> None:
    """Fields are added to the searches and taken out of the answers again, pages reach across the window's end."""
    files = own_suite("os")
    cases = read_cases(files.tests, _WITH_TEXTS)
    apis = read_apis(files.api)
    with (
        proxy_for_suite(suite_engine, scored=True) as proxy,
        Runner(apis, suite_engine.url, proxy.url, QUERY_TEXT) as runner,
    ):
        comparison = runner.run(cases)
    report = "\n".join(comparison.lines())
    print(report)
    assert not comparison.differences, report
    assert comparison.reranked >= 0.35 * sum(comparison.statuses.values()), report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scored"), [("es8", True), ("es9", False), pytest.param("os3", False, marks=pytest.mark.opensearch3)]
)
def test_tests_of_a_version_before_pass_through_the_proxy(name: str, scored: bool) -> None:
    files = own_suite(name)
    cases, apis = read_cases(files.tests, _WITH_TEXTS), read_apis(files.api)
    with (
        _started(name) as engine,
        proxy_for_suite(engine, scored, _TEXT if scored else None) as proxy,
        Runner(apis, engine.url, proxy.url, QUERY_TEXT if scored else None) as runner,
    ):
        comparison = runner.run(cases)
    report = "\n".join(comparison.lines())
    print(report)
    assert not comparison.differences, report
    # What a later version does otherwise, such as types, fails directly.
    assert comparison.direct["passed"] >= 0.75 * len(cases), report
    assert comparison.reranked >= 0.3 * sum(comparison.statuses.values()), report


def test_a_proxy_that_changes_answers_is_found_out(suite_engine: Engine) -> None:
    """The comparison itself: with the order and the scores of a model the cases go another way."""
    files = own_suite("os")
    settings = Settings(upstream=(suite_engine.url,), listen=Listen("127.0.0.1", 0), rules=(Rule(),))

    def scorer() -> ThreadScorer:
        return ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 1)

    apis = read_apis(files.api)
    with ProxyThread(settings, scorer) as proxy, Runner(apis, suite_engine.url, proxy.url) as runner:
        comparison = runner.run(read_cases(files.tests, "search/190_index_prefix_search"))
    assert comparison.direct["passed"] > comparison.proxied["passed"]
    assert comparison.differences
