"""The settings as the code reads them: frozen, validated, passed in. `proxy.settings.table` says what each means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal as Choice
from typing import NamedTuple

from proxy.settings.template import Template

KIB = 1024
MIB = 1024 * 1024


class Listen(NamedTuple):
    """Where the proxy listens."""

    host: str = "127.0.0.1"
    port: int = 9700
    """0: any free port."""

    def __str__(self) -> str:
        """Return ``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which searches are reranked, and how."""

    target: str = "*,-.*"
    text: Template | None = None
    query: Template | None = None
    overrides: tuple[str, ...] = ("query_header", "query_context", "skip_header")
    model: str = "base"
    window: int = 50
    budget_ms: int = 500
    document_tokens: int = 128
    html: bool = True
    long_text: Choice["cut", "chunks"] = "cut"
    max_chunks: int = 4
    textless_hits: Choice["stay", "below"] = "stay"
    blend: float = 0.1
    blend_by: Choice["min_max", "z_score", "rrf"] = "min_max"
    rrf_k: int = 60
    scores: Choice["replace", "keep"] = "replace"
    min_score: float | None = None
    hit_details: bool = False
    two_phase_bytes: int = 512 * KIB
    pit: bool = False
    templates: bool = False
    async_search: bool = False
    takeover: bool = False

    @property
    def chunks(self) -> int:
        """Return in how many parts a text is read at most."""
        return self.max_chunks if self.long_text == "chunks" else 1


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a proxy. These defaults are the only ones: the table takes them from here."""

    upstream: tuple[str, ...] = ("http://localhost:9200",)
    listen: Listen = field(default_factory=Listen)
    rules: tuple[Rule, ...] = (Rule(),)
    upstream_ca: Path | None = None
    upstream_fingerprint: str | None = None
    """64 lower-case hexadecimal digits."""
    upstream_verify: bool = True
    upstream_connect_timeout_ms: int = 5000
    upstream_keepalive_s: int = 15
    metadata_auth: str | None = field(default=None, repr=False)
    max_request_bytes: int = MIB
    max_response_bytes: int = 32 * MIB
    max_buffered_bytes: int = 256 * MIB
    max_header_bytes: int = 65536
    scorer_threads: int = 0
    max_queued_pairs: int = 20000
    cache_entries: int = 200000
    cache_ttl_s: int = 0
    outcome_ttl_s: int = 30
    outcome_entries: int = 10000
    mapping_ttl_s: int = 60
    model_dir: Path | None = None
    took: bool = True
    shutdown_grace_s: int = 30
    log_level: Choice["debug", "info", "warning", "error"] = "info"
