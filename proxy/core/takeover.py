"""Searches that ask the cluster itself to rerank, answered by us: for clusters without the licence or the feature.

Elasticsearch: the outermost ``retriever.text_similarity_reranker``. Its child retriever is sent, the hits up to
``rank_window_size`` are scored by their ``field`` against ``inference_text``, and there are no hits behind them. Scores
are ``max(s, 0) + min(e^s, 1)`` of the model's ``s`` (stated in Elasticsearch's reference of that retriever).

OpenSearch: a ``rerank`` response processor of the kind ``ml_opensearch`` in an inline ``search_pipeline``, with its
``document_fields`` and the body's ``ext.rerank.query_context``. It is taken out of the pipeline, and what else is in
there stays. A named pipeline, or an index's default one, can only hold such a processor where the plugin is: it passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy.core.limits import Unreadable, lenient_int
from proxy.core.messages import Search
from proxy.core.rawjson import Edit, JsonError, apply_edits, decode, insertion, object_members, removal, strip_span
from proxy.settings import Field, Literal, Rule, Template

_RERANKER = "text_similarity_reranker"
_DEFAULT_WINDOW = 10
_KNOWN = frozenset({"retriever", "field", "inference_id", "inference_text", "rank_window_size", "min_score", "filter"})
_IGNORED = frozenset({"_name", "allow_rerank_failures"})
_CHANGE_HITS = frozenset({"oversample", "ml_inference"})
"""Request processors that change which hits there are, or how many."""


class TakeoverError(ValueError):
    """A reranking that the cluster is asked for and that we cannot do in its place: one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A search less its request to rerank, and that request."""

    body: bytes
    query_text: str
    text: Template
    rank_window: int | None = None
    """``rank_window_size``: there are no hits behind it, and scores are Elasticsearch's; None: OpenSearch's form."""
    min_score: float | None = None
    """Least score of the model's own."""

    def apply(self, search: Search, rule: Rule) -> tuple[Search, Rule]:
        """Return the search and the rule by which it is reranked."""
        text = search.query_text if search.query_text and "query_header" in rule.overrides else self.query_text
        overrides = (*rule.overrides, "query_header")
        changed = replace(rule, text=self.text, query=None, overrides=overrides)
        if self.rank_window is not None:
            least = None if self.min_score is None else elastic_score(self.min_score)
            changed = replace(changed, window=self.rank_window, blend=0.0, scores="replace", min_score=least)
        return replace(search, body=self.body, query_text=text), changed


def elastic_score(logit: float) -> float:
    """Return the score that Elasticsearch shows for a reranking model's."""
    return max(logit, 0.0) + min(math.exp(min(logit, 0.0)), 1.0)


def elastic_scores(order: Sequence[int], logits: Sequence[float | None], scores: Sequence[float]) -> tuple[float, ...]:
    """Return the scores of a ranked window in Elasticsearch's form.

    Args:
        order: the hits' positions in the engine's order.
        logits: in the engine's order; None: not scored.
        scores: in the new order, never rising; those below 1 are of hits that were not reached.
    """
    known = [elastic_score(logit) for logit in logits if logit is not None]
    lowest = min(known, default=1.0)
    last = max(known, default=1.0)
    shown = []
    for position, score in zip(order, scores, strict=True):
        logit = logits[position]
        if logit is not None:
            last = elastic_score(logit)
        elif score < 1.0:
            last = lowest * score
        shown.append(last)
    return tuple(shown)


def take_over(body: bytes) -> Takeover | None:
    """Return what is to be done in the cluster's place; None: nothing, or nothing that we can.

    Raises:
        TakeoverError: Elasticsearch's form, in a place or with an option that cannot be honoured.
    """
    if _RERANKER.encode() not in body and b'"rerank"' not in body:
        return None
    try:
        decoded = decode(body)
        if not isinstance(decoded, dict):
            return None
        if "retriever" in decoded:
            return _retriever(body, decoded)
        return _pipeline(body, decoded)
    except (JsonError, Unreadable):
        return None


def _retriever(body: bytes, decoded: dict[str, Any]) -> Takeover | None:
    tree = decoded["retriever"]
    if not isinstance(tree, dict) or _RERANKER not in tree:
        inside = _holder(tree)
        if inside is None:
            return None
        raise TakeoverError(
            f"[{_RERANKER}] inside of [{inside}] is not taken over: its ranks would have to be known to the cluster; "
            f"make it the outermost retriever, with [{inside}] as its child"
        )
    options = tree[_RERANKER]
    if not isinstance(options, dict):
        return None
    for name in options.keys() - _KNOWN - _IGNORED:
        raise TakeoverError(f"[{_RERANKER}] is taken over without [{name}]: leave it out")
    for name in ("retriever", "field", "inference_text"):
        if name not in options:
            raise TakeoverError(f"[{_RERANKER}] Required [{name}]")
    inner = _holder(options["retriever"])
    if inner is not None or (isinstance(options["retriever"], dict) and _RERANKER in options["retriever"]):
        raise TakeoverError(f"[{_RERANKER}] is taken over once in a search: leave one of the two out")
    window = lenient_int(options.get("rank_window_size", _DEFAULT_WINDOW))
    size = lenient_int(decoded.get("size", 10))
    if window < 1 or size > window:
        wanted = f"[rank_window_size: {window}] be greater than or equal to [size: {size}]"
        raise TakeoverError(f"[{_RERANKER}] requires {wanted}")
    least = options.get("min_score")
    if not (isinstance(options["field"], str) and isinstance(options["inference_text"], str)) or not (
        least is None or (isinstance(least, (int, float)) and not isinstance(least, bool))
    ):
        raise TakeoverError(f"[{_RERANKER}] wants texts for [field] and [inference_text] and a number for [min_score]")
    template = Template((Field(options["field"], None),))
    return Takeover(_with_child(body), options["inference_text"], template, window, least)


def _holder(tree: object) -> str | None:
    """Return the kind of the retriever in which a reranker stands; None: there is none."""
    if not isinstance(tree, dict):
        return None
    for kind, options in tree.items():
        if not isinstance(options, dict):
            continue
        listed = options.get("retrievers")
        children = [options.get("retriever"), *(listed if isinstance(listed, list) else [])]
        for child in children:
            inner = child.get("retriever", child) if isinstance(child, dict) else None
            if isinstance(inner, dict) and _RERANKER in inner and kind != _RERANKER:
                return str(kind)
            deeper = _holder(inner)
            if deeper is not None:
                return deeper
    return None


def _with_child(body: bytes) -> bytes:
    """Put the child retriever in its parent's place, with the parent's filter."""
    outer = object_members(body, strip_span(body))["retriever"].value
    options = object_members(body, object_members(body, outer)[_RERANKER].value)
    child = body[options["retriever"].value.start : options["retriever"].value.end]
    if "filter" in options:
        wanted = _listed(body[options["filter"].value.start : options["filter"].value.end])
        kinds = object_members(child)
        inner = next(iter(kinds.values())).value
        members = object_members(child, inner)
        if "filter" in members:
            span = members["filter"].value
            own = _listed(child[span.start : span.end])
            child = apply_edits(child, [Edit(span, b"[" + b",".join(filter(None, (own, wanted))) + b"]")])
        else:
            child = apply_edits(child, [insertion(members, b"filter", b"[" + wanted + b"]", inner)])
    return apply_edits(body, [Edit(outer, child)])


def _listed(value: bytes) -> bytes:
    """Return the items of a filter that is one query or a list of some."""
    text = value.strip()
    return text[1:-1].strip() if text.startswith(b"[") else text


def _pipeline(body: bytes, decoded: dict[str, Any]) -> Takeover | None:
    pipeline = decoded.get("search_pipeline")
    if not isinstance(pipeline, dict):
        return None
    processors = pipeline.get("response_processors")
    asked = pipeline.get("request_processors") or []
    if not isinstance(processors, list) or len(processors) != 1 or not isinstance(processors[0], dict):
        return None
    if any(not isinstance(each, dict) or _CHANGE_HITS & each.keys() for each in asked):
        return None
    options = processors[0].get("rerank")
    if len(processors[0]) != 1 or not isinstance(options, dict) or "ml_opensearch" not in options:
        return None
    context = options.get("context")
    fields = context.get("document_fields") if isinstance(context, dict) else None
    text = context_text(decoded)
    if text is None or not isinstance(fields, list) or not fields or not all(isinstance(name, str) for name in fields):
        return None
    parts: list[Literal | Field] = []
    for name in fields:
        parts += [Literal(" "), Field(name, None)] if parts else [Field(name, None)]
    return Takeover(_without_processor(body, pipeline), text, Template(tuple(parts)))


def _without_processor(body: bytes, pipeline: dict[str, Any]) -> bytes:
    span = strip_span(body)
    members = object_members(body, span)
    inline = members["search_pipeline"].value
    left = pipeline.keys() - {"response_processors", "description", "version", "_meta"}
    # Without any pipeline the index's default one would come into force.
    rest = b'"_none"'
    if any(pipeline[key] for key in left):
        inner = object_members(body, inline)
        rest = apply_edits(body, removal(inner, ["response_processors"]), inline)
    return apply_edits(body, [Edit(inline, rest)])


_MAX_PATH = 1000


def context_text(body: dict[str, Any]) -> str | None:
    """Return the text of ``ext.rerank.query_context``: its ``query_text``, or what its ``query_text_path`` leads to."""
    ext = body.get("ext")
    rerank = ext.get("rerank") if isinstance(ext, dict) else None
    context = rerank.get("query_context") if isinstance(rerank, dict) else None
    if not isinstance(context, dict):
        return None
    text: Any = context.get("query_text")
    path = context.get("query_text_path")
    if text is None and isinstance(path, str) and len(path) <= _MAX_PATH:
        text = body
        for step in path.split("."):
            text = text.get(step) if isinstance(text, dict) else None
    return text if isinstance(text, str) and text.strip() else None


def is_pipeline_without_reranking(pipeline: object) -> bool:
    """Say whether a pipeline is one that `take_over` has left: inline, with no response processors."""
    return isinstance(pipeline, dict) and "response_processors" not in pipeline
