"""Where a suite's files are: OpenSearch's own come out of a jar of Maven Central, others stand in a folder."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.engines.releases import cache_folder, fetch_jars

OPENSEARCH_SUITE = "org.opensearch:rest-api-spec:2.19.0"


class SuiteError(RuntimeError):
    """A suite's files are not there or cannot be read."""


@dataclass(frozen=True)
class SuiteFiles:
    """A suite on disk."""

    tests: Path
    """Folder of YAML tests, searched with all below it."""
    api: Path
    """Folder of API descriptions (JSON)."""


def opensearch_suite() -> SuiteFiles:
    """Return OpenSearch's suite, fetched and unpacked once.

    Raises:
        RuntimeError: Maven could not fetch it.
    """
    folder = cache_folder() / OPENSEARCH_SUITE.split(":", 1)[1].replace(":", "-")
    fetch_jars((OPENSEARCH_SUITE,), folder, "OpenSearch's REST tests", _unpack)
    return suite_in(folder)


def _unpack(folder: Path) -> None:
    for jar in (folder / "lib").glob("*.jar"):
        with zipfile.ZipFile(jar) as archive:
            archive.extractall(folder)
    shutil.rmtree(folder / "lib")


def suite_in(folder: Path, api: Path | None = None) -> SuiteFiles:
    """Return the suite in a folder that holds ``test`` and ``api``, itself or in its ``rest-api-spec``.

    Args:
        folder: see above; any folder of YAML tests will do where ``api`` is given.
        api: folder of API descriptions.

    Raises:
        SuiteError: there is no such folder.
    """
    root = folder / "rest-api-spec" if (folder / "rest-api-spec").is_dir() else folder
    tests = root / "test" if (root / "test").is_dir() else root
    found = SuiteFiles(tests, api or root / "api")
    for path in (found.tests, found.api):
        if not path.is_dir():
            raise SuiteError(f"{path} is no folder; give the folder that holds test/ and api/, or --api")
    return found
