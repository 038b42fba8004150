"""A scorer on a gated model, for each test anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.scorer import models as models_module
from proxy.scorer import pool as pool_module
from tests.scorer.gated import Pool


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let supervision and new tries come soon."""
    monkeypatch.setattr(pool_module, "_SUPERVISION_S", 0.005)
    monkeypatch.setattr(models_module, "_FIRST_RETRY_S", 0.005)
    monkeypatch.setattr(models_module, "_LONGEST_RETRY_S", 0.02)


@pytest.fixture
async def pool(brisk: None) -> AsyncIterator[Pool]:
    made = Pool()
    yield made
    for scorer, model in made.started:
        model.let()
        await scorer.close()
