"""What the runner knows of a cluster, and how a case's leavings are swept away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tests.rest_suite.client import Client

_Version = tuple[int, int, int, int]
_HIGHEST: _Version = (99, 99, 99, 99)
_NAMES_A_REQUEST = 30


@dataclass(frozen=True)
class Cluster:
    """The engine under test, asked once."""

    is_elasticsearch: bool
    version: str
    attributes: dict[str, str] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    """Of Elasticsearch: the named features of its nodes."""
    operating_system: str = ""
    """As the tests name it: ``debian-8``."""

    def in_ranges(self, ranges: str) -> bool:
        """Say whether the version is in one of ``a - b``, comma-separated; an empty bound is open, ``all`` is all."""
        return any(self._in_range(part.strip()) for part in ranges.split(","))

    def _in_range(self, text: str) -> bool:
        if text == "all":
            return True
        low, dash, high = text.partition("-") if text.startswith("-") else text.partition(" -")
        lowest = self._key(low) if low.strip() else (-1, 0, 0, 0)
        highest = self._key(high) if high.strip() else (_HIGHEST if dash else lowest)
        return lowest <= self._key(self.version) <= highest

    def at_least(self, version: str) -> bool:
        """Compare with a version."""
        return self._key(self.version) >= self._key(version)

    def _key(self, version: str) -> _Version:
        numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
        major, minor, patch = (*numbers, 0, 0, 0)[:3]
        # OpenSearch 1.0 came after Elasticsearch 7.10, whose versions its tests still name.
        is_later = not self.is_elasticsearch and major < 5
        return (int(is_later), major, minor, patch)


def read_cluster(client: Client) -> Cluster:
    """Ask what there is to know."""
    answer = client.ask("GET", "/_nodes?filter_path=nodes.*.version,nodes.*.attributes,nodes.*.os.pretty_name")
    node = next(iter(answer.parsed["nodes"].values()))
    is_elasticsearch = bool(answer.all_headers("x-elastic-product"))
    features: set[str] = set()
    if is_elasticsearch:
        for entry in client.ask("GET", "/_cluster/state?filter_path=nodes_features").parsed.get("nodes_features", []):
            features.update(entry["features"])
    system = re.match(r"(\w+)[^\d]*(\d+)?", node.get("os", {}).get("pretty_name") or "")
    operating_system = "-".join(part.lower() for part in system.groups() if part) if system else ""
    attributes = node.get("attributes", {})
    return Cluster(is_elasticsearch, node["version"], attributes, frozenset(features), operating_system)


def wipe(client: Client) -> list[str]:
    """Delete whatever a case has made, only what is there is asked for; return what could not be deleted."""
    # Removing a snapshot or an alias may have to come first.
    return _sweep(client) and _sweep(client)


def _sweep(client: Client) -> list[str]:
    """Return what could not be deleted."""
    settings = client.ask("GET", "/_cluster/settings?flat_settings=true").parsed
    changed = {kind: dict.fromkeys(settings[kind]) for kind in ("persistent", "transient") if settings.get(kind)}
    failed = [] if not changed else _failed(client, "PUT", "/_cluster/settings", changed)
    metadata = client.ask("GET", "/_cluster/state/metadata").parsed["metadata"]
    for method, target in _leavings(client, metadata):
        failed += _failed(client, method, target)
    return failed


def _failed(client: Client, method: str, target: str, body: Any = None) -> list[str]:
    answer = client.ask(method, target, body)
    return [] if answer.status in (200, 404) else [f"{method} {target}: {answer.status} {answer.text[:300]}"]


def _leavings(client: Client, metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if metadata.get("cluster_coordination", {}).get("voting_config_exclusions"):
        yield "DELETE", "/_cluster/voting_config_exclusions?wait_for_removal=false"
    if metadata.get("desired_nodes"):
        yield "DELETE", "/_internal/desired_nodes"
    if repositories := metadata.get("repositories"):
        yield from _snapshots(client, repositories)
    streams = metadata.get("data_stream", {}).get("data_stream", {})
    yield from (("DELETE", f"/_data_stream/{quote(name)}") for name in streams)
    indices = {name: index for name, index in metadata.get("indices", {}).items() if not _of_stream(name)}
    for name, index in indices.items():
        if "blocks" in index.get("settings", {}).get("index", {}):
            _unblock(client, name)
    yield from (("DELETE", "/" + names) for names in _batches(indices))
    for kind, api in (("templates", "_template"), ("index_template", "_index_template")):
        yield from (("DELETE", f"/{api}/{quote(name, safe='')}") for name in _named(metadata, kind))
    for kind, api in (("component_template", "_component_template"), ("stored_scripts", "_scripts")):
        yield from (("DELETE", f"/{api}/{quote(name, safe='')}") for name in _named(metadata, kind))
    for kind, api in (("ingest", "_ingest"), ("search_pipeline", "_search")):
        pipelines = metadata.get(kind, {}).get("pipeline", [])
        yield from (("DELETE", f"/{api}/pipeline/{quote(entry['id'], safe='')}") for entry in pipelines)


def _of_stream(name: str) -> bool:
    return name.startswith(".ds-")


def _named(metadata: dict[str, Any], kind: str) -> Iterable[str]:
    """Templates of the newer forms stand one level deeper."""
    found = metadata.get(kind, {})
    return list(found.get(kind, found))


def _snapshots(client: Client, repositories: Iterable[str]) -> Iterator[tuple[str, str]]:
    for repository in repositories:
        listed = client.ask("GET", f"/_snapshot/{quote(repository)}/_all?ignore_unavailable=true")
        for snapshot in listed.parsed.get("snapshots", []) if listed.status == 200 else []:
            yield "DELETE", f"/_snapshot/{quote(repository)}/{quote(snapshot['snapshot'])}"
        yield "DELETE", f"/_snapshot/{quote(repository)}"


def _unblock(client: Client, index: str) -> None:
    names = ("read_only", "read_only_allow_delete", "metadata", "read", "write")
    client.ask("PUT", f"/{quote(index)}/_settings", {f"index.blocks.{name}": None for name in names})


def _batches(names: Iterable[str]) -> Iterator[str]:
    """Index names joined for a path, not too many in one."""
    quoted = [quote(name, safe="") for name in names]
    for start in range(0, len(quoted), _NAMES_A_REQUEST):
        options = urlencode({"expand_wildcards": "all"})
        yield ",".join(quoted[start : start + _NAMES_A_REQUEST]) + "?" + options
