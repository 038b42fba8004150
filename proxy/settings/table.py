"""The one table of all settings, from which come reading, environment variables, flags and the reference page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.settings.kinds import (
    MODEL,
    QUERY_TEMPLATE,
    SWITCH,
    TARGET,
    TEMPLATE,
    Kind,
    byte_count,
    choice,
    existing,
    number,
    show_bytes,
    whole_number,
    words,
)
from proxy.settings.model import MIB, Rule, Settings
from proxy.settings.network import AUTHORIZATION, FINGERPRINT, LISTEN, UPSTREAM

ENV_PREFIX = "RERANK_PROXY_"
CONFIG_ENV = ENV_PREFIX + "CONFIG"
PRECEDENCE = "A flag wins over an environment variable, that over the file (--config), and that over the default."

_GIB = 1024 * MIB
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: a setting, or a key of a rule."""

    group: str
    """The heading on the reference page."""
    name: str
    kind: Kind
    help: str
    example: str
    """A value as it is written, not the default where another one says more."""
    flag: str | None = None
    secret: bool = False
    """Shown nowhere."""
    default: object = None
    """From the dataclass."""

    @property
    def env(self) -> str:
        """Return the environment variable; a rule's key has none."""
        return ENV_PREFIX + self.name.upper()

    @property
    def optional(self) -> bool:
        """Say whether there may be no value at all, which is the default then."""
        return self.default is None


def _unreadable(text: str) -> object:
    raise ValueError(f"{text!r} is no list of rules")


RULES = Kind("a list of rules", _unreadable)

_ENGINE = "Engine"
_SERVER = "Server"
_RERANKING = "Reranking"
_LIMITS = "Limits"
_SCORING = "Scoring"
_MEMORY = "What is remembered"

_SETTINGS = (
    Setting(
        _ENGINE,
        "upstream",
        UPSTREAM,
        "The engine's nodes, one URL or several, as a list or separated by commas. They take turns, and one that "
        "cannot be reached is left out for a while.",
        "http://localhost:9200",
        "--upstream",
    ),
    Setting(
        _ENGINE,
        "upstream_ca",
        existing("file"),
        "PEM file of the authorities that may have signed the engine's certificate. None: those of the system.",
        "/etc/rerank-proxy/ca.pem",
        "--upstream-ca",
    ),
    Setting(
        _ENGINE,
        "upstream_fingerprint",
        FINGERPRINT,
        "The engine's certificate must be this one; its authority, name and dates are not looked at then.",
        ":".join(f"{byte:02X}" for byte in range(0x10, 0x30)),
    ),
    Setting(
        _ENGINE,
        "upstream_verify",
        SWITCH,
        "Check the engine's certificate. Unchecked, anybody between proxy and engine can read and change everything.",
        "true",
        "--no-upstream-verify",
    ),
    Setting(
        _ENGINE,
        "upstream_connect_timeout_ms",
        whole_number(1, 600_000),
        "How long to wait for a connection to the engine before the next node is tried, in milliseconds. "
        "An answer may take as long as it likes.",
        "5000",
    ),
    Setting(
        _ENGINE,
        "upstream_keepalive_s",
        whole_number(1, _DAY_S),
        "How long an idle connection to the engine is kept, in seconds. Choose less than firewalls between them allow.",
        "15",
    ),
    Setting(
        _ENGINE,
        "metadata_auth",
        AUTHORIZATION,
        "Credentials for the proxy's own checks of whether the engine answers. A search always uses its client's own.",
        "ApiKey bm90OnJlYWw=",
        secret=True,
    ),
    Setting(
        _SERVER,
        "listen",
        LISTEN,
        "The address at which clients reach the proxy. Port 0: any free port; 0.0.0.0: all of the machine's addresses.",
        "127.0.0.1:9700",
        "--listen",
    ),
    Setting(
        _SERVER,
        "shutdown_grace_s",
        whole_number(0, _DAY_S),
        "How long open requests may still take when the proxy is told to stop, in seconds. 0: not at all.",
        "30",
    ),
    Setting(
        _SERVER,
        "log_level",
        choice("debug", "info", "warning", "error"),
        "The least important messages that are logged.",
        "info",
        "--log-level",
    ),
    Setting(
        _RERANKING,
        "rules",
        RULES,
        "Which searches are reranked, and how; the first rule that matches counts. Without this key there is one rule "
        "with all its defaults; `rules: []` reranks nothing. As text: YAML or JSON.",
        "[]",
    ),
    Setting(
        _RERANKING,
        "took",
        SWITCH,
        "Add the milliseconds that reranking took to the answer's `took`.",
        "true",
    ),
    Setting(
        _LIMITS,
        "max_request_bytes",
        byte_count(1024, _GIB),
        "The largest body of a search that is read; searches with a larger one are forwarded as they are. Requests "
        "that are no searches have no limit.",
        "1MiB",
    ),
    Setting(
        _LIMITS,
        "max_response_bytes",
        byte_count(1024, _GIB),
        "The largest answer to a search that is read; where it is larger the client's own request is sent instead.",
        "32MiB",
    ),
    Setting(
        _LIMITS,
        "max_buffered_bytes",
        byte_count(1024, 1024 * _GIB),
        "What all requests together may hold in memory; searches that find no room are forwarded as they are.",
        "256MiB",
    ),
    Setting(
        _LIMITS,
        "max_header_bytes",
        byte_count(8192, 16 * MIB),
        "The longest request line, status line or header field that is accepted.",
        "64KiB",
    ),
    Setting(
        _LIMITS,
        "max_queued_pairs",
        whole_number(1, 100_000_000),
        "How many pairs of query and document may wait for the model; those above it stay unscored.",
        "20000",
    ),
    Setting(
        _SCORING,
        "scorer_threads",
        whole_number(0, 1024),
        "Threads that run the model. 0: one for each core that the process may use (CPU affinity, cgroup quota).",
        "0",
        "--scorer-threads",
    ),
    Setting(
        _SCORING,
        "model_dir",
        existing("folder"),
        "A folder of more models, searched before the bundled ones.",
        "/var/lib/rerank-proxy/models",
    ),
    Setting(
        _SCORING,
        "cache_entries",
        whole_number(0, 1_000_000_000),
        "How many scores are kept for pairs seen before; the longest unused go first. 0: no cache.",
        "200000",
    ),
    Setting(
        _SCORING,
        "cache_ttl_s",
        whole_number(0, 3650 * _DAY_S),
        "How long a score is kept, in seconds. 0: it never expires, and need not: the key is the texts and the model.",
        "0",
    ),
    Setting(
        _MEMORY,
        "outcome_ttl_s",
        whole_number(0, _DAY_S),
        "How long an outcome other than `full` is remembered so that all pages of a search agree, in seconds. 0: off.",
        "30",
    ),
    Setting(
        _MEMORY,
        "outcome_entries",
        whole_number(0, 100_000_000),
        "How many such outcomes are remembered, and of how many searches the `max_score` of their window, which the "
        "pages behind it have too. 0: off.",
        "10000",
    ),
    Setting(
        _MEMORY,
        "mapping_ttl_s",
        whole_number(0, _DAY_S),
        "How long an index's mapping is remembered, for each set of credentials, in seconds. 0: off, it is read for "
        "each search.",
        "60",
    ),
)

_RULE = "Rule"

_RULE_KEYS = (
    Setting(
        _RULE,
        "target",
        TARGET,
        "The rule means a search when every index, alias or wildcard that it asks for fits one of these and none that "
        "`-` excludes. A requested wildcard is compared as it is written; a search of all indices is `*`.",
        "products*,-products-test",
    ),
    Setting(
        _RULE,
        "text",
        TEMPLATE,
        "What the model reads of a hit: fields in braces. `:60` takes at most 60 tokens of one, `{{` and `}}` stand "
        "for braces. None: the fields that the query itself searches. In a search of several indices a hit is read by "
        "the first rule that means its index.",
        "{title} {brand} {bullets:60}",
    ),
    Setting(
        _RULE,
        "query",
        QUERY_TEMPLATE,
        "The text to rank by: paths into the search's body in braces, list items by number or all of them. Where it "
        "gives nothing, and without it, the text is taken from the query's scoring clauses.",
        "{query.bool.must.0.multi_match.query}",
    ),
    Setting(
        _RULE,
        "overrides",
        words("query_header", "query_context", "skip_header", "none"),
        "What a client may say for itself: the text to rank by in `X-Rerank-Query` or in the body's "
        "`ext.rerank.query_context` (the header wins), and the engine's own order by `X-Rerank-Skip`. What is not in "
        "the list is ignored, and still kept from the engine.",
        "skip_header",
    ),
    Setting(
        _RULE,
        "model",
        MODEL,
        "A bundled model or one of `model_dir` by name, a folder by path, or `identity`: the engine's order is kept.",
        "base",
        "--model",
    ),
    Setting(
        _RULE,
        "window",
        whole_number(1, 10_000),
        "How many of the engine's first hits are reranked. More find more, and take longer.",
        "50",
        "--window",
    ),
    Setting(
        _RULE,
        "budget_ms",
        whole_number(1, 3_600_000),
        "How long scoring may take, in milliseconds from the end of the engine's answer. Hits not scored by then stay "
        "below those that are, in the engine's order.",
        "500",
        "--budget-ms",
    ),
    Setting(
        _RULE,
        "document_tokens",
        whole_number(1, 100_000),
        "How many tokens of a hit's text the model reads.",
        "128",
    ),
    Setting(
        _RULE,
        "html",
        SWITCH,
        "Whether HTML in fields is read as a reader of the page would: without tags, scripts and styles. What is no "
        "element's tag, as in `List<String>`, is text in any case.",
        "true",
    ),
    Setting(
        _RULE,
        "long_text",
        choice("cut", "chunks"),
        "What becomes of a text that is longer: `cut` leaves the rest unread, `chunks` has the model read parts of "
        "`document_tokens`, each with the shorter fields, and takes the best part's score. Each part costs what a hit "
        "does.",
        "cut",
    ),
    Setting(
        _RULE,
        "max_chunks",
        whole_number(2, 100),
        "At most so many parts of a text are read; what is behind them is not.",
        "4",
    ),
    Setting(
        _RULE,
        "textless_hits",
        choice("stay", "below"),
        "Where a hit without a text stands, in a window of which at least half has one: `stay`: at the engine's place, "
        "with its neighbour's score; `below`: below all that are scored, in the engine's order, with less than "
        "1, as what `budget_ms` has left unscored.",
        "stay",
    ),
    Setting(
        _RULE,
        "blend",
        number(0, 1),
        "The engine's share of the order, 0: the model alone, 1: the engine alone. See `blend_by`; docs/model.md says "
        "what which share is worth.",
        "0.1",
    ),
    Setting(
        _RULE,
        "blend_by",
        choice("min_max", "z_score", "rrf"),
        "How the two orders are blended: `min_max` and `z_score` scale both scores over the window and take their "
        "weighted mean, `rrf` sums 1 / (`rrf_k` + rank) of both orders, weighted.",
        "min_max",
    ),
    Setting(
        _RULE,
        "rrf_k",
        whole_number(1, 10_000),
        "The k of `rrf`: the larger, the less the first ranks stand out.",
        "60",
    ),
    Setting(
        _RULE,
        "scores",
        choice("replace", "keep"),
        "The `_score` that clients see: `replace`: one that falls with the new order, over all pages, and `max_score` "
        "with it; `keep`: the engine's.",
        "replace",
    ),
    Setting(
        _RULE,
        "min_score",
        number(0, 2),
        "Hits with a lower score of ours are left out of their page, which gets shorter; `hits.total` stays. Scored "
        "hits have 1 to 2 (1 + sigmoid of the logit, or 1 + blend), all others less than 1. None: all stay.",
        "1.2",
    ),
    Setting(
        _RULE,
        "hit_details",
        SWITCH,
        "Whether each hit gets `_rerank` with `score`, `rank`, `original_score` and `original_rank`. Clients with "
        "strict types may not know the key.",
        "false",
    ),
    Setting(
        _RULE,
        "two_phase_bytes",
        byte_count(0, _GIB),
        "Where a window would bring so many bytes beside the page (earlier answers to such searches say it; "
        "highlights, inner hits and script fields count extra), it is fetched with the texts to score only, and the "
        "page by a second search. 0: always; 1GiB: hardly ever.",
        "512KiB",
    ),
    Setting(
        _RULE,
        "pit",
        SWITCH,
        "Whether searches of a point in time are reranked too, where they page by `from`. They name no index: one that "
        "was opened through this very process is known by its target, any other needs a rule whose target means all "
        "indices, as `*` does. Those in multi-searches always do.",
        "false",
    ),
    Setting(
        _RULE,
        "templates",
        SWITCH,
        "Whether `_search/template` is reranked too. Each costs a `_render/template` before the search.",
        "false",
    ),
    Setting(
        _RULE,
        "async_search",
        SWITCH,
        "Whether `_async_search` is reranked too, where the answer to its start is whole. What it found is searched "
        "for once more then, as a plain search; what the engine keeps of it stays in the engine's order.",
        "false",
    ),
    Setting(
        _RULE,
        "takeover",
        SWITCH,
        "Whether to do what a search asks the cluster's own reranker to do: Elasticsearch's outermost "
        "`text_similarity_reranker`, and OpenSearch's `rerank` processor in an inline pipeline. For clusters without "
        "it. Off, such searches pass untouched.",
        "false",
    ),
)


def _with_defaults(rows: Iterable[Setting], model: type[Settings] | type[Rule]) -> dict[str, Setting]:
    defaults = model()
    return {row.name: replace(row, default=getattr(defaults, row.name)) for row in rows}


SETTINGS = _with_defaults(_SETTINGS, Settings)
RULE_KEYS = _with_defaults(_RULE_KEYS, Rule)
"""By name, in the order of the reference page."""


def show_value(row: Setting, value: object) -> str:
    """Write a value as it is written in the file, for people; ``none`` where there is none."""
    if value is None:
        return "none"
    if row.name == "rules":
        return "one rule with all defaults"
    if row.name.endswith("_bytes") and isinstance(value, int):
        return show_bytes(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and row.kind.many:
        return ",".join(map(str, value))
    return value.as_posix() if isinstance(value, Path) else str(value)
