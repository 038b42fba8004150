"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.engines.fixtures"]

# How thorough the property tests are: ``HYPOTHESIS_PROFILE=deep`` for the long way. No example has a time to keep.
settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With ``RERANK_NO_SKIPS=1`` a skipped test fails the run: the machine has what the test needs."""
    if os.environ.get("RERANK_NO_SKIPS") != "1" or exitstatus != 0:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [report for report in reporter.stats.get("skipped", []) if not _is_by_design(str(report.longrepr))]
    if skipped:
        reporter.write_line(f"{len(skipped)} tests were skipped though nothing may be (RERANK_NO_SKIPS=1)", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_by_design(reason: str) -> bool:
    """Some tests of one engine do not concern another one; their reason says "not for"."""
    return "not for" in reason
