"""Lookups on a search's way: what is known of its target's fields, timed, and told where something is wrong."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from typing import Any, TypeVar

from proxy.core.facts import FactsMemory
from proxy.core.mapping import MappingFacts
from proxy.core.messages import Need, NeedLookup, Search, Trace, UpstreamAnswer
from proxy.core.pipelines import NO_PIPELINE
from proxy.core.target_check import TargetCheck

ADVICE = "set the rule's text to fields that its indices have"

_Found = TypeVar("_Found")


def check_target(
    search: Search,
    names: tuple[str, ...],
    facts: FactsMemory,
    problems: MutableMapping[str, str],
    trace: Trace,
    chosen: bool = False,
) -> Generator[Need, Any, TargetCheck]:
    """Look up whether the target's hits have texts in these fields, and keep what is wrong.

    Args:
        search: whose target and credentials.
        names: fields.
        facts: what is known already.
        problems: what is wrong with a target, by target; for the health page.
        trace: gets times and warnings.
        chosen: the fields are our choice out of the mapping, not a rule's.
    """
    checked = yield from _timed(facts.check(search, names, all_named=not chosen), trace)
    if checked is None:
        return TargetCheck()
    subject = f"target {search.target or search.params.as_dict().get('index', '_all')}"
    problem = checked.problem()
    if problem:
        problems[subject] = problem
        trace.warnings.append((f"{subject}: {problem}", ADVICE))
    elif names:
        problems.pop(subject, None)
    return checked


def find_pipelines(
    search: Search, given: object, by_default: tuple[str, ...], facts: FactsMemory, trace: Trace
) -> Generator[Need, Any, list[dict[str, Any]] | None]:
    """Return the definitions of the search pipelines that may apply to a search; None: one cannot be known.

    Args:
        search: whose credentials.
        given: a name or a definition, as the search brings it; None: nothing.
        by_default: names of those that the target's indices have. Of several none applies, but which index has hits
            is not known before.
        facts: what is known already.
        trace: gets times.
    """
    if given == NO_PIPELINE:
        return []
    if isinstance(given, dict):
        return [given]
    if given is not None and not isinstance(given, str):
        return None
    found = []
    for name in by_default if given is None else (given,):
        definition = yield from _timed(facts.pipeline(search, name), trace)
        if definition is None:
            return None
        found.append(definition)
    return found


def look_up(search: Search, facts: FactsMemory, trace: Trace) -> Generator[Need, Any, MappingFacts | None]:
    """Look up all that the mapping tells of a target's fields."""
    return (yield from _timed(facts.look_up(search), trace))


def _timed(lookup: Generator[NeedLookup, UpstreamAnswer, _Found], trace: Trace) -> Generator[Need, Any, _Found]:
    """Pass a lookup's needs on and note how long the engine took for them."""
    try:
        need = next(lookup)
        while True:
            answer: UpstreamAnswer = yield need
            trace.add_time("mapping", answer.started, answer.finished)
            need = lookup.send(answer)
    except StopIteration as stop:
        found: _Found = stop.value
        return found
