"""Finds out, before anything is asked for, what a search is ranked by and how the texts for it are had."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from proxy.core.by_index import needs_groups
from proxy.core.context import IDENTITY, Context
from proxy.core.doc_fields import choose_template
from proxy.core.document import Texts
from proxy.core.lookups import check_target, find_pipelines, look_up
from proxy.core.mapping import name_matches
from proxy.core.messages import Need, Reason, Search, Trace
from proxy.core.pipelines import changes_answer, disturbed_by_widening, reranks
from proxy.core.query_text import find_query_text
from proxy.core.request import Plan
from proxy.core.target_check import TargetCheck
from proxy.settings import Rule, TargetPattern, Template


@dataclass(frozen=True, slots=True)
class Prepared:
    """What to rank by, and what to read for it."""

    query: str
    texts: Texts | None
    """What a hit's text is made of; None: none is needed."""
    added_fields: tuple[str, ...]
    """Fields that only we ask for."""
    apart: tuple[str, ...] = ()
    """Fields that a search of its own is to fetch, since they would show in the answer to the client's."""
    by_index: TargetCheck | None = None
    """Set: the texts do not all stand in ``_source``, so that a search for each kind of index is to fetch them."""
    piped: bool = False
    """A search pipeline applies, which may change what a search that shows something else would give."""


def prepare(plan: Plan, rule: Rule, context: Context, trace: Trace) -> Generator[Need, Any, Prepared | Reason]:
    """Find what a search is ranked by; the reason where it cannot be reranked."""
    pipelines = yield from _pipelines(plan, context, trace)
    if pipelines is None:
        return Reason.PIPELINE
    if rule.model == IDENTITY:
        return Prepared("", None, (), piped=bool(pipelines))
    query = find_query_text(plan.body, plan.query_text, rule.query)
    if query is None:
        return Reason.NO_QUERY_TEXT
    trace.decisions["query_text"] = {"text": query.text, "source": query.source}
    checked = yield from check_target(plan.search, (), context.facts, context.problems, trace)
    template = rule.text
    if template is None:
        facts = yield from look_up(plan.search, context.facts, trace)
        if facts is None or not facts.without_source or checked.indices.names:
            template = choose_template(query.clauses, facts, rule.document_tokens)
        trace.decisions["mapping"] = "read" if facts is not None else "not readable with the search's credentials"
    if template is None:
        return Reason.TEXT_UNAVAILABLE
    texts = Texts(template, _texts_by_index(plan.search, context, checked))
    defined = {name for key in ("runtime_mappings", "derived") for name in plan.body.get(key) or ()}
    named = tuple(name for name in texts.paths() if name not in defined)
    chosen = rule.text is None and texts.paths() == Texts(template).paths()
    checked = yield from check_target(plan.search, named, context.facts, context.problems, trace, chosen)
    if checked.textless and len(named) == len(texts.paths()):
        return Reason.TEXT_UNAVAILABLE
    trace.decisions["text"] = str(template)
    prepared = _where_texts_stand(plan, context, trace, checked, Prepared(query.text, texts, (), piped=bool(pipelines)))
    if not pipelines:
        return prepared
    # A search for the texts alone shows other fields, which the pipeline's processors may need.
    apart = any(map(changes_answer, pipelines)) and (prepared.apart or prepared.by_index is not None)
    disturbed = any(disturbed_by_widening(one, texts.paths()) for one in pipelines)
    return Reason.PIPELINE if apart or disturbed else prepared


def _pipelines(plan: Plan, context: Context, trace: Trace) -> Generator[Need, Any, list[dict[str, Any]] | None]:
    """Return the search pipelines that may apply to a search; None: one of them forbids to rerank or to widen.

    Those of a search that is taken over have been looked at already.
    """
    if plan.search.taken_over:
        return []
    by_default: tuple[str, ...] = ()
    if plan.pipeline is None and context.elasticsearch is not True:
        checked = yield from check_target(plan.search, (), context.facts, context.problems, trace)
        by_default = checked.indices.pipelines
    if by_default or plan.pipeline is not None:
        named = list(by_default) if plan.pipeline is None else [plan.pipeline]
        trace.decisions["search_pipelines"] = [one if isinstance(one, str) else "inline" for one in named]
    found = yield from find_pipelines(plan.search, plan.pipeline, by_default, context.facts, trace)
    if found is None or any(reranks(one) or disturbed_by_widening(one, ()) for one in found):
        return None
    return found


def _where_texts_stand(
    plan: Plan, context: Context, trace: Trace, checked: TargetCheck, prepared: Prepared
) -> Prepared:
    """Add how the texts are to be fetched: beside the hits, or by a search of their own."""
    texts = prepared.texts
    assert texts is not None
    if needs_groups(checked, context.elasticsearch) and "retriever" not in plan.body:
        trace.decisions["text_from"] = {
            index: {name: f"{origin.kind}: {origin.name}" for name, origin in origins.items()}
            for index, origins in checked.origins.items()
        }
        return replace(prepared, by_index=checked)
    added = _added_fields(plan, texts)
    shown = plan.asked_fields and any("." in path for path in added)
    elsewhere = any(name_matches(pattern, path) for pattern in plan.other_values for path in texts.paths())
    if elsewhere or (added and (shown or plan.fields_would_show(context.elasticsearch))):
        return replace(prepared, apart=texts.paths())
    return replace(prepared, added_fields=added)


def _texts_by_index(
    search: Search, context: Context, checked: TargetCheck
) -> tuple[tuple[TargetPattern, Template | None], ...]:
    """Return the rules' texts for a search over several indices, less those of which it has no hits."""
    if not _means_several(search):
        return ()
    indices = checked.indices.names
    return tuple(
        (pattern, template)
        for pattern, template in context.texts
        if not indices or any(pattern.matches([index]) for index in indices)
    )


def _means_several(search: Search) -> bool:
    """Say whether a search can have hits of several indices, as far as its names tell: an alias is taken for one."""
    names = unquote(search.target) or search.params.as_dict().get("index", "")
    return names in ("", "_all") or "*" in names or "," in names


def _added_fields(plan: Plan, texts: Texts) -> tuple[str, ...]:
    """Return the fields for texts that the client does not ask for himself."""
    return tuple(
        path for path in texts.paths() if not any(name_matches(pattern, path) for pattern in plan.asked_fields)
    )
