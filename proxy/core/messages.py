"""What the core's generator yields, what it is sent, and what it returns."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from proxy.core.params import Params
from proxy.scorer.types import Document, ScoreResult


@dataclass(frozen=True, slots=True)
class Search:
    """One search as the client asked for it."""

    target: str
    """The index part of the path as it came (percent-encoded); empty: all indices, or those of ``?index=``."""
    params: Params
    body: bytes
    """Decoded (no content coding); empty: none."""
    content_type: str | None = None
    accept: str | None = None
    query_text: str | None = None
    """The text to rank by, where the client gave it beside the body (header ``X-Rerank-Query``)."""
    asked_to_skip: bool = False
    """The client wants the engine's own order (header ``X-Rerank-Skip``)."""
    identity: bytes = b""
    """Digest of the credentials; keeps what is remembered of one user away from another."""
    filtered: bool = False
    """Parts of its answer may be missing, since it is one of several that a ``filter_path`` is applied to together."""
    taken_over: bool = False
    """Its reranker has been taken out: what is left of its pipeline or retriever bounds nothing."""


@dataclass(frozen=True, slots=True)
class SearchCall:
    """A search to be sent to the engine: what may differ from the client's."""

    params: Params
    body: bytes
    content_type: str | None


class UpstreamFailure(StrEnum):
    """Why there is no whole answer to read."""

    UNREACHABLE = "unreachable"
    TOO_LARGE = "too-large"
    BUSY = "busy"
    """The bytes that may be buffered over all requests are used up."""
    GARBLED = "garbled"
    """It broke off, or its content coding cannot be undone."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """The engine's answer, read to its end and decoded."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    """As they came, several of one name too; the content coding is still named although ``body`` is decoded."""
    body: bytes = b""
    failure: UpstreamFailure | None = None
    """Set: there is no body to read; ``status`` is 0 where no answer came at all."""
    detail: str = ""
    started: float = 0.0
    finished: float = 0.0
    """On the clock of ``time.monotonic()``, in seconds."""

    def header(self, name: str) -> str | None:
        """Return the first header of that name; letter case does not matter."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class NeedSearch:
    """Yielded: send this search to the engine. Sent back: `UpstreamAnswer`."""

    call: SearchCall


@dataclass(frozen=True, slots=True)
class NeedLookup:
    """Yielded: GET ``/{target}/{api}`` with the search's own credentials. Sent back: `UpstreamAnswer`."""

    target: str
    api: str
    params: Params


@dataclass(frozen=True, slots=True)
class NeedScores:
    """Yielded: score the documents in this order. Sent back: `ScoreResult`."""

    model: str
    query: str
    documents: Sequence[Document]
    document_tokens: int
    deadline: float | None
    max_chunks: int = 1


Need = NeedSearch | NeedLookup | NeedScores
Reply = UpstreamAnswer | ScoreResult


class Status(StrEnum):
    """What became of a search for which a rule matched."""

    FULL = "full"
    PARTIAL = "partial"
    FALLBACK = "fallback"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why a search was not, or not wholly, reranked. Also the label of the metric."""

    # skipped: the request says so
    ASKED = "asked"
    BODY = "body-unreadable"
    BODY_TOO_LARGE = "body-too-large"
    FORMAT = "format"
    PARAMETER = "parameter"
    SIZE_ZERO = "size-zero"
    SORT = "sort"
    SCROLL = "scroll"
    SEARCH_AFTER = "search-after"
    PIT = "pit"
    RUNNING = "still-running"
    RETRIEVER = "retriever"
    TAKEOVER = "takeover"
    RANK = "rank"
    KNN = "knn-without-k"
    PIPELINE = "search-pipeline"
    STORED_FIELDS = "stored-fields"
    FILTER_PATH = "filter-path"
    NO_QUERY_TEXT = "no-query-text"
    PAST_WINDOW = "past-window"
    BUSY = "busy"
    # skipped: the documents say so
    TEXT_UNAVAILABLE = "text-unavailable"
    NO_TEXT = "no-text"
    # partial
    BUDGET = "budget"
    # fallback
    UPSTREAM_ERROR = "upstream-error"
    SHARD_FAILURES = "shard-failures"
    UNPARSABLE = "unparsable-answer"
    ANSWER_TOO_LARGE = "answer-too-large"
    MODEL = "model"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status and what belongs to it; its text form is the value of ``X-Rerank-Status``."""

    status: Status
    reason: Reason | None = None
    scored: int | None = None
    of: int | None = None

    def __str__(self) -> str:
        text = str(self.status)
        if self.reason is not None:
            text += f"; reason={self.reason}"
        if self.status is Status.PARTIAL:
            text += f"; scored={self.scored}/{self.of}"
        return text


@dataclass(slots=True)
class Trace:
    """What was decided on the way, for the explain page, the log and the timings. Filled as the search goes."""

    decisions: dict[str, Any] = field(default_factory=dict)
    """JSON-ready; see `proxy.core.search`, which names the keys."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds by phase, in the order in which they ran."""
    cached: int = 0
    """Logits that came from the score cache."""
    hits: int = 0
    """In the window."""
    model: str = ""
    """By which the window was ranked."""
    rerank_ms: float = 0.0
    """From the end of the engine's answer to the last score."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """(what it is about, sentence): to be logged once per subject."""

    def add_time(self, phase: str, started: float, finished: float) -> None:
        """Add a phase's duration; start and end in seconds."""
        self.timings_ms[phase] = self.timings_ms.get(phase, 0.0) + 1000 * (finished - started)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Answer with ``answer``'s status and headers, and this body (not coded)."""

    answer: UpstreamAnswer
    body: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Relayed:
    """Pass the engine's answer on as it came."""

    answer: UpstreamAnswer
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Send this request to the engine once and stream its answer. ``call`` None: the client's own bytes."""

    outcome: Outcome
    call: SearchCall | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer 400 with this error, in the engine's form: the search asks for what can be neither done nor passed on."""

    body: bytes
    outcome: Outcome


Result = Rewritten | Relayed | Forwarded | Refused
RerankGenerator = Generator[Need, Any, Result]
