"""Takes a ``rerank`` processor out of a search's inline ``search_pipeline``: the other processors stay the cluster's.

What the processor means follows OpenSearch's reference ("Rerank processor"). It is taken over only where every other
processor of the pipeline does the same to a wider search as to the client's, and to each hit alone; any other pipeline
passes as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from proxy.core.doc_fields import as_template
from proxy.core.messages import Search
from proxy.core.pipelines import RERANK, disturbed_by_widening
from proxy.core.rawjson import Edit, Span, apply_edits, array_items, object_members, strip_span
from proxy.core.request import take_out_ext
from proxy.core.takeover_retriever import given_text
from proxy.settings import Rule

_RERANK_KEYS = {"ml_opensearch", "context", "tag", "description", "ignore_failure"}


@dataclass(frozen=True, slots=True)
class PipelineTakeover:
    """A search whose ``rerank`` processor is ours to run."""

    search: Search
    rule: Rule

    @property
    def decision(self) -> dict[str, Any]:
        """What the explain page says of it."""
        return {"of": "search_pipeline.rerank", "fields": str(self.rule.text), "window": self.rule.window}


class NotTaken(Exception):
    """The pipeline has a ``rerank`` processor that cannot be taken out alone."""


def take_pipeline(search: Search, rule: Rule, body: dict[str, Any]) -> PipelineTakeover | None:
    """Return what a search becomes without its pipeline's ``rerank`` processor; None: it has no inline one.

    Raises:
        NotTaken: it stays the cluster's.
        JsonError: a part of the body cannot be read.
    """
    pipeline = body.get("search_pipeline")
    if not isinstance(pipeline, dict):
        return None
    processors = pipeline.get("response_processors")
    if not isinstance(processors, list):
        return None
    reranks = [place for place, one in enumerate(processors) if isinstance(one, dict) and RERANK in one]
    if not reranks:
        return None
    if len(reranks) > 1 or "search_pipeline" in search.params.as_dict():
        raise NotTaken
    names = _document_fields(processors[reranks[0]])
    if disturbed_by_widening(pipeline, names):
        raise NotTaken
    stripped = _without(search.body, reranks[0])
    members = object_members(stripped, strip_span(stripped))
    stripped, text = take_out_ext(stripped, members, body)
    text = given_text(search, rule) or text
    return PipelineTakeover(
        replace(search, body=stripped, query_text=text, taken_over=True),
        _rule(rule, names, text),
    )


def _rule(rule: Rule, names: list[str], text: str | None) -> Rule:
    changed = replace(rule, text=as_template(names, rule.document_tokens), takeover=False)
    return changed if text is None else replace(changed, query=None, overrides=(*rule.overrides, "query_header"))


def _document_fields(processor: dict[str, Any]) -> list[str]:
    """Return the fields that make up a document's text.

    ``by_field`` orders by a number in the document, not by a model: it stays the cluster's, like what is not known.
    """
    options = processor[RERANK]
    if len(processor) != 1 or not isinstance(options, dict) or not options.keys() <= _RERANK_KEYS:
        raise NotTaken
    context = options.get("context")
    if not isinstance(options.get("ml_opensearch"), dict) or not isinstance(context, dict):
        raise NotTaken
    names = context.get("document_fields")
    if not isinstance(names, list) or not names or context.keys() != {"document_fields"}:
        raise NotTaken
    if not all(isinstance(name, str) for name in names):
        raise NotTaken
    return list(dict.fromkeys(names))


def _without(body: bytes, place: int) -> bytes:
    """Take one response processor out. What is left, even if empty, still stands for the index's own pipeline."""
    members = object_members(body, strip_span(body))
    pipeline = object_members(body, members["search_pipeline"].value)
    items = array_items(body, pipeline["response_processors"].value)
    if place:
        doomed = Span(items[place - 1].end, items[place].end)
    elif len(items) > 1:
        doomed = Span(items[0].start, items[1].start)
    else:
        doomed = items[0]
    return apply_edits(body, [Edit(doomed, b"")])
