"""What all tests share."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.engines.fixtures"]


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
