"""Whether a case is meant for this engine and this runner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from tests.rest_suite.client import Client
from tests.rest_suite.cluster import Cluster

FEATURES = frozenset(
    (
        *("allowed_warnings", "allowed_warnings_regex", "warnings", "warnings_regex"),
        *("arbitrary_key", "embedded_stash_key", "stash_in_key", "stash_in_path", "transform_and_set"),
        *("close_to", "contains", "is_after", "regex"),
        *("capabilities", "catch_unauthorized", "default_shards", "headers", "node_selector", "yaml"),
        *("fips_140", "no_xpack", "skip_os"),
    )
)
"""Of the form, what this runner can."""


def why_skipped(kind: str, wanted: dict[str, Any], cluster: Cluster, client: Client) -> str | None:
    """Return why a ``skip`` or ``requires`` step leaves its case out; None: it does not."""
    test_features = [*listed(wanted.get("features")), *listed(wanted.get("test_runner_features"))]
    if unknown := sorted(set(test_features) - FEATURES):
        return f"the runner has no {', '.join(unknown)}"
    reason = str(wanted.get("reason") or "")
    if kind == "requires":
        missing = [name for name in listed(wanted.get("cluster_features")) if not has_feature(cluster, name)]
        if missing:
            return f"the engine has no {', '.join(missing)} ({reason})"
        if not all(capable(client, capability) for capability in wanted.get("capabilities") or ()):
            return f"the engine is not capable of it ({reason})"
        return None
    if "version" in wanted and cluster.in_ranges(str(wanted["version"])):
        return f"version {wanted['version']} ({reason})"
    if any(has_feature(cluster, name) for name in listed(wanted.get("cluster_features"))):
        return f"the engine has {wanted['cluster_features']} ({reason})"
    if "capabilities" in wanted and all(capable(client, capability) for capability in wanted["capabilities"]):
        return f"the engine is capable of it ({reason})"
    if cluster.operating_system in listed(wanted.get("os")):
        return f"operating system {cluster.operating_system} ({reason})"
    if "awaits_fix" in wanted:
        return f"awaits a fix: {wanted['awaits_fix']}"
    for issue in wanted.get("known_issues") or ():
        if has_feature(cluster, issue["cluster_feature"]) and not has_feature(cluster, issue["fixed_by"]):
            return f"known issue of {issue['cluster_feature']} ({reason})"
    return None


def listed(value: Any) -> list[str]:
    """Return one name or several, as a list or with commas, as a list."""
    if value is None:
        return []
    names: Iterable[Any] = value if isinstance(value, list) else str(value).split(",")
    return [str(name).strip() for name in names]


def has_feature(cluster: Cluster, name: str) -> bool:
    """Say whether the engine has a feature; ``gte_v8.12.0`` is one by version."""
    if name.startswith("gte_v"):
        return cluster.is_elasticsearch and cluster.at_least(name.removeprefix("gte_v"))
    return name in cluster.features


def capable(client: Client, wanted: dict[str, Any]) -> bool:
    """Ask the engine whether it is capable of something."""
    query = {"method": wanted["method"], "path": wanted["path"]}
    for name in ("parameters", "capabilities"):
        if wanted.get(name):
            query[name] = ",".join(listed(wanted[name]))
    answer = client.ask("GET", "/_capabilities?" + urlencode(query))
    return answer.status == 200 and answer.parsed.get("supported") is True
