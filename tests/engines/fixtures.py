"""Engines as fixtures: each is started once a test run, when the first test asks for it, and stopped at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.engines import RELEASES, Engine, available, start


def _running(name: str) -> Iterator[Engine]:
    missing = available(name)
    if missing is not None:
        if os.environ.get("RERANK_REQUIRE_ENGINES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    engine = start(name)
    yield engine
    engine.stop()


@pytest.fixture(scope="session", name="es8")
def _es8() -> Iterator[Engine]:
    yield from _running("es8")


@pytest.fixture(scope="session", name="es9")
def _es9() -> Iterator[Engine]:
    yield from _running("es9")


@pytest.fixture(scope="session", name="os")
def _os() -> Iterator[Engine]:
    yield from _running("os")


@pytest.fixture(scope="session", name="os3")
def _os3() -> Iterator[Engine]:
    yield from _running("os3")


@pytest.fixture(scope="session", name="osp")
def _osp() -> Iterator[Engine]:
    yield from _running("osp")


_ON_OS3 = (pytest.mark.slow, pytest.mark.opensearch3)


@pytest.fixture(scope="session", params=["osp", "os3"])
def opensearch_pipelines(request: pytest.FixtureRequest) -> Engine:
    """Each OpenSearch with the module whose search pipelines' processors are its own."""
    running: Engine = request.getfixturevalue(request.param)
    return running


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=_ON_OS3) if name == "os3" else name for name in RELEASES],
)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, OpenSearch 3 among the slow tests."""
    running: Engine = request.getfixturevalue(request.param)
    return running
