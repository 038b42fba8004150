"""Each row of the contract, on each engine; and the page that is made of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.settings import Rule
from tests.contract.corpus import corpus
from tests.contract.rows import ROWS, Row
from tests.contract.seen import ENGINES, PAGE, blanked, holds, key_of, observed, page, read_seen, send_row
from tests.contract.wire import WIRE_ROWS, WireRow, mark, status_of
from tests.engines import Engine
from tests.support import ProxyThread
from tests.support_shop import proxy_for

_OURS = frozenset({"ext.rerank"})
"""What is meant for us alone: the engine refuses it where it stands alone."""


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn: the rows are quick enough for that, and the page has a column for each."""
    running: Engine = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="module")
def indices(engine: Engine) -> Iterator[None]:
    with corpus(engine):
        yield


@pytest.fixture(scope="module")
def reranking(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20)) as running:
        yield running


@pytest.fixture(scope="module")
def keeping(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", model="identity", scores="keep", window=20)) as running:
        yield running


@pytest.mark.engine
@pytest.mark.usefixtures("indices")
@pytest.mark.parametrize("row", ROWS, ids=key_of)
def test_row(engine: Engine, reranking: ProxyThread, keeping: ProxyThread, row: Row) -> None:
    direct, through = send_row(engine.url, row), send_row(reranking.url, row)
    mark = observed(direct, through)
    assert mark == read_seen()[engine.name][key_of(row)]
    if row.name in _OURS:
        return
    assert through.status == direct.status or "created" in str(direct.body)
    if direct.status >= 400:
        assert blanked(through.body) == blanked(direct.body)
    kept = send_row(keeping.url, row)
    if "profile" not in row.name and "_nodes" not in row.path and not row.path.endswith("/_doc/_search"):
        assert blanked(kept.body) == blanked(direct.body)
    assert kept.header("Content-Type") == direct.header("Content-Type")


@pytest.mark.engine
@pytest.mark.usefixtures("indices")
@pytest.mark.parametrize("row", WIRE_ROWS, ids=key_of)
def test_row_of_bytes(engine: Engine, reranking: ProxyThread, row: WireRow) -> None:
    seen = mark(status_of(engine.url, row), status_of(reranking.url, row))
    assert seen == read_seen()[engine.name][key_of(row)]


@pytest.mark.parametrize("row", ROWS, ids=key_of)
def test_what_is_claimed_was_seen(row: Row) -> None:
    marks = [read_seen()[engine][key_of(row)] for engine in ENGINES]
    assert all(holds(row, mark) for mark in marks), marks


def test_rows_have_names_of_their_own() -> None:
    names = [key_of(row) for row in (*ROWS, *WIRE_ROWS)]
    assert len(names) == len(set(names))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_seen()), "run `python -m tests.contract`"
