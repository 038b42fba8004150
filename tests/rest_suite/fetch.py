"""Where a suite's files are: some of the engines' own come out of jars of Maven Central, others stand in a folder."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.engines.releases import cache_folder, fetch_jars

_SUITES = {
    "os": "org.opensearch:rest-api-spec:2.19.0",
    # The newest that Maven Central has.
    "os3": "org.opensearch:rest-api-spec:3.1.0",
    # The last that Maven Central has the tests of. Most of its searches are still understood.
    "es8": "org.elasticsearch:rest-api-spec:7.10.2",
    "es9": "org.elasticsearch:rest-api-spec:7.10.2",
}
"""By engine: group:artifact:version."""


class SuiteError(RuntimeError):
    """A suite's files are not there or cannot be read."""


@dataclass(frozen=True)
class SuiteFiles:
    """A suite on disk."""

    tests: Path
    """Folder of YAML tests, searched with all below it."""
    api: Path
    """Folder of API descriptions (JSON)."""


def own_suite(engine: str) -> SuiteFiles:
    """Return the suite that Maven Central has for an engine, fetched and unpacked once.

    Raises:
        RuntimeError: Maven could not fetch it.
    """
    artifact = _SUITES[engine]
    group, name, version = artifact.split(":")
    folder = cache_folder() / f"{group}-{name}-{version}"
    fetch_jars((artifact,), folder, f"the REST tests {artifact}", _unpack)
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
