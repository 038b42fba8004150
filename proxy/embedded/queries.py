"""The query language: the engine's JSON becomes a tantivy query over one index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tantivy
from tantivy import Occur, Query

from proxy.embedded import analysis
from proxy.embedded.errors import EngineError, ShardError, bad, refused, unparsable
from proxy.embedded.index import ID, NAMES, Snapshot
from proxy.embedded.mapping import Field
from proxy.embedded.query_options import (
    Clauses,
    boosted,
    constant,
    joined,
    needed_text,
    needed_value,
    one_field,
    read_operator,
    times,
    within_bounds,
)
from proxy.embedded.query_string import NOT, SHOULD, read_query_string
from proxy.embedded.values import as_count, as_names, as_number, known_keys, parse_date, wildcard

_MATCH = {"query", "operator", "minimum_should_match", "boost"}
_MULTI_MATCH_TYPES = ("best_fields", "most_fields", "phrase")
_MAX_DEPTH = 30
_I64 = (-(1 << 63), (1 << 63) - 1)


class Compiler:
    """Turns queries into tantivy's for one snapshot, and keeps in mind which terms they look for."""

    def __init__(self, snapshot: Snapshot, default_fields: list[str]) -> None:
        """``default_fields``: names or patterns for queries that name no field."""
        self._snapshot = snapshot
        self._default_fields = default_fields
        self._depth = 0
        self.terms: dict[str, set[str]] = {}
        """Field -> terms to be highlighted in it."""
        self._kinds: dict[str, Callable[[Any], Query]] = {
            "match_all": self._match_all,
            "match_none": self._match_none,
            "match": self._match,
            "multi_match": self._multi_match,
            "match_phrase": self._match_phrase,
            "query_string": self._query_string,
            "term": self._term,
            "terms": self._terms,
            "range": self._range,
            "exists": self._exists,
            "ids": self._ids,
            "prefix": self._prefix,
            "bool": self._bool,
            "dis_max": self._dis_max,
            "constant_score": self._constant_score,
        }

    def compile(self, query: Any) -> Query:
        """Return the tantivy query. Raises EngineError 400 that names what is not understood."""
        if not isinstance(query, dict) or len(query) != 1:
            raise unparsable("a query is an object with one key, the query's name")
        (name, spec), *_ = query.items()
        if name not in self._kinds:
            raise unparsable(f"unknown query [{name}]; the embedded engine knows {', '.join(self._kinds)}")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise bad(f"queries are nested more than {_MAX_DEPTH} levels deep")
        compiled = self._kinds[name](spec)
        self._depth -= 1
        return compiled

    def _match_all(self, spec: Any) -> Query:
        return boosted(Query.all_query(), known_keys("match_all", spec, {"boost"}))

    def _match_none(self, spec: Any) -> Query:
        known_keys("match_none", spec, {"boost"})
        return Query.empty_query()

    def _match(self, spec: Any) -> Query:
        name, options = one_field("match", spec, "query", _MATCH)
        return boosted(self._words(name, options), options)

    def _match_phrase(self, spec: Any) -> Query:
        name, options = one_field("match_phrase", spec, "query", {"query", "slop", "boost"})
        return boosted(self._phrase(name, options), options)

    def _multi_match(self, spec: Any) -> Query:
        options = known_keys("multi_match", spec, {*_MATCH, "fields", "type", "tie_breaker"})
        kind = options.get("type", "best_fields")
        if kind not in _MULTI_MATCH_TYPES:
            raise refused(f"[multi_match] of type [{kind}]")
        tie_breaker = 1.0 if kind == "most_fields" else as_number("tie_breaker", options.get("tie_breaker", 0.0))
        if "fields" in options and not as_names("fields", options["fields"]):
            raise unparsable("[multi_match] needs [fields] that are not empty")
        fields = self._weighted(as_names("fields", options.get("fields", self._default_fields)))
        return boosted(self._over_fields(fields, options, kind == "phrase", tie_breaker), options)

    def _query_string(self, spec: Any) -> Query:
        allowed = {"query", "fields", "default_field", "default_operator", "boost"}
        options = known_keys("query_string", spec, allowed)
        names = options.get("fields", options.get("default_field", self._default_fields))
        all_required = read_operator(options.get("default_operator", "or")) == Occur.Must
        clauses: Clauses = []
        for clause in read_query_string(needed_text("query_string", options), all_required):
            fields = self._weighted([clause.field] if clause.field else as_names("fields", names))
            if clause.text in ("*", "*:*") and not clause.is_phrase:
                query = Query.all_query()
            elif self._is_empty(fields, clause.text):
                continue
            else:
                words = {"query": clause.text, "operator": "and" if all_required else "or"}
                query = self._over_fields(fields, words, clause.is_phrase, 0.0)
            occur = {NOT: Occur.MustNot, SHOULD: Occur.Should}.get(clause.occur, Occur.Must)
            clauses.append((occur, query))
        return boosted(joined(clauses), options)

    def _is_empty(self, fields: dict[str, float], text: str) -> bool:
        """Say whether no word of the text is left in any field: such a clause is ignored, not failed."""
        found = [self._snapshot.fields[name] for name in fields if name in self._snapshot.fields]
        return bool(found) and not any(
            field.type != "text" or analysis.analyze(field.analyzer, text) for field in found
        )

    def _weighted(self, names: list[str]) -> dict[str, float]:
        """Return fields with boosts for names such as ``title^3`` and ``tit*``; a pattern finds only words."""
        fields: dict[str, float] = {}
        for name in names:
            plain, caret, boost = name.partition("^")
            try:
                weight = float(boost) if caret else 1.0
            except ValueError:
                raise bad(f"[{name}]: the boost is no number") from None
            found = [plain]
            if "*" in plain:
                found = [field.name for field in self._snapshot.fields.values() if field.is_words]
                found = list(filter(wildcard(plain), found))
            fields.update((field, weight * fields.get(field, 1.0)) for field in found)
        return fields

    def _over_fields(self, fields: dict[str, float], options: dict[str, Any], phrase: bool, tie: float) -> Query:
        one_field = self._phrase if phrase else self._words
        queries = [times(one_field(name, options), weight) for name, weight in fields.items()]
        return queries[0] if len(queries) == 1 else Query.disjunction_max_query(queries, tie)

    def _words(self, name: str, options: dict[str, Any]) -> Query:
        """Match any or all of the words in one field."""
        occur = read_operator(options.get("operator", "or"))
        text = needed_text("match", options)
        field = self._field(name)
        if field is None:
            return Query.empty_query()
        if field.type != "text":
            return self._exactly(field, options["query"])
        tokens = analysis.analyze(field.analyzer, text)
        needed = options.get("minimum_should_match") if occur == Occur.Should else None
        return joined([(occur, self._analyzed(field, token.term)) for token in tokens], needed)

    def _phrase(self, name: str, options: dict[str, Any]) -> Query:
        text = needed_text("match_phrase", options)
        field = self._field(name)
        if field is None:
            return Query.empty_query()
        if field.type != "text":
            return self._exactly(field, options["query"])
        tokens = analysis.analyze(field.analyzer, text)
        if len(tokens) < 2:
            return joined([(Occur.Must, self._analyzed(field, token.term)) for token in tokens])
        self.terms.setdefault(name, set()).update(token.term for token in tokens)
        words: list[str | tuple[int, str]] = [(token.position - tokens[0].position, token.term) for token in tokens]
        slop = as_count("slop", options.get("slop", 0))
        return Query.phrase_query(self._snapshot.schema, self._snapshot.slots[name], words, slop)

    def _analyzed(self, field: Field, term: str) -> Query:
        self.terms.setdefault(field.name, set()).add(term)
        return Query.term_query(self._snapshot.schema, self._snapshot.slots[field.name], term)

    def _exactly(self, field: Field, value: Any) -> Query:
        """Match one value as it is, with the scores that the engine gives: numbers 1, keywords by rarity alone."""
        if field.type == "text":
            return self._analyzed(field, str(value))
        if field.is_number:
            return self._between(field, {"gte": value, "lte": value})
        term = self._read(field, value)
        self.terms.setdefault(field.name, set()).add(term)
        slot, searcher = self._snapshot.slots[field.name], self._snapshot.searcher
        having, found = searcher.doc_freq(NAMES, field.name), searcher.doc_freq(slot, term)
        rarity = math.log(1 + (having - found + 0.5) / (found + 0.5)) if having >= found else 0.0
        return Query.const_score_query(Query.term_query(self._snapshot.schema, slot, term), rarity)

    def _term(self, spec: Any) -> Query:
        name, options = one_field("term", spec, "value", {"value", "boost"})
        if name == "_id":
            return boosted(self._with_ids([str(options.get("value"))]), options)
        field = self._field(name)
        query = Query.empty_query() if field is None else self._exactly(field, needed_value("term", options))
        return boosted(query, options)

    def _terms(self, spec: Any) -> Query:
        names = [key for key in spec if key != "boost"] if isinstance(spec, dict) else []
        if len(names) != 1 or not isinstance(spec[names[0]], list):
            raise unparsable("[terms] needs one field and a list of values")
        values = [needed_value("terms", {"value": value}) for value in spec[names[0]]]
        field = self._field(names[0])
        if names[0] == "_id":
            return boosted(self._with_ids(list(map(str, values))), spec)
        queries = [] if field is None else [self._exactly(field, value) for value in values]
        return boosted(constant(joined([(Occur.Should, query) for query in queries])), spec)

    def _range(self, spec: Any) -> Query:
        name, options = one_field("range", spec, "", {"gt", "gte", "lt", "lte", "boost"})
        field = self._field(name)
        if field is None:
            return Query.empty_query()
        if field.is_number:
            return boosted(self._between(field, options), options)
        bounds = {key: self._read(field, options[key]) for key in options if key != "boost"}
        return boosted(self._of_terms(field, "", lambda term: within_bounds(term, bounds)), options)

    def _between(self, field: Field, bounds: dict[str, Any]) -> Query:
        """Match numbers and dates."""
        low, high = ("gt" if "gt" in bounds else "gte"), ("lt" if "lt" in bounds else "lte")
        lower, upper = (self._bound(field, key, bounds[key]) if key in bounds else None for key in (low, high))
        if field.is_integer:
            # Bounds of integers are made inclusive, so that 2.5 may be one too.
            lower = _I64[0] if lower is None else max(lower, _I64[0])
            upper = _I64[1] if upper is None else min(upper, _I64[1])
            if lower > upper:
                return Query.empty_query()
            kind, closed = tantivy.FieldType.Integer, (True, True)
        elif lower is None and upper is None:
            return self._exists({"field": field.name})
        else:
            kind = tantivy.FieldType.Float
            closed = (lower is None or low == "gte", upper is None or high == "lte")
        slot = self._snapshot.slots[field.name]
        return constant(Query.range_query(self._snapshot.schema, slot, kind, lower, upper, *closed))

    def _bound(self, field: Field, key: str, value: Any) -> int | float:
        try:
            if field.type == "date":
                # "up to the 5th" ends with the day, and so does what "after the 5th" leaves out.
                return parse_date(value, round_up=key in ("gt", "lte")) + {"gt": 1, "lt": -1}.get(key, 0)
            number = value if isinstance(value, int) else float(value)
            if field.is_float or isinstance(value, bool) or number - number != 0:
                return float(field.read(value))
            whole = {"gte": math.ceil, "gt": math.floor, "lte": math.floor, "lt": math.ceil}[key](number)
            return whole + {"gt": 1, "lt": -1}.get(key, 0)
        except (ValueError, TypeError, OverflowError) as error:
            raise self._unreadable(field, error) from None

    def _read(self, field: Field, value: Any) -> str:
        """Return the term that stands for a keyword or a boolean in the index."""
        try:
            return field.term(field.read(value))
        except EngineError as error:
            raise self._unreadable(field, error) from None

    def _unreadable(self, field: Field, error: Exception) -> ShardError:
        reason = f"failed to create query: field [{field.name}] of type [{field.type}]: {error}"
        return ShardError("query_shard_exception", reason, self._snapshot.index)

    def _field(self, name: str) -> Field | None:
        """Return a field that can be searched, None where no document has it."""
        field = self._snapshot.fields.get(name)
        if field is not None and not field.index:
            reason = f"cannot search on field [{name}] since it is not indexed"
            raise ShardError("query_shard_exception", reason, self._snapshot.index)
        return field

    def _prefix(self, spec: Any) -> Query:
        name, options = one_field("prefix", spec, "value", {"value", "boost"})
        field, start = self._field(name), needed_value("prefix", options)
        if field is not None and not field.is_words:
            reason = f"[prefix] needs text or a keyword, not [{name}]"
            raise ShardError("query_shard_exception", reason, self._snapshot.index)
        query = Query.empty_query() if field is None else self._of_terms(field, str(start), lambda term: True)
        return boosted(query, options)

    def _of_terms(self, field: Field, prefix: str, wanted: Callable[[str], bool]) -> Query:
        """Match the documents that have one of the wanted terms of the index."""
        slot = self._snapshot.slots[field.name]
        terms = [term for term, _ in self._snapshot.searcher.terms_with_prefix(slot, prefix) if wanted(term)]
        self.terms.setdefault(field.name, set()).update(terms)
        return constant(Query.term_set_query(self._snapshot.schema, slot, terms)) if terms else Query.empty_query()

    def _exists(self, spec: Any) -> Query:
        options = known_keys("exists", spec, {"field", "boost"})
        query = Query.term_query(self._snapshot.schema, NAMES, str(needed_value("exists", options, "field")))
        return boosted(constant(query), options)

    def _ids(self, spec: Any) -> Query:
        options = known_keys("ids", spec, {"values", "boost"})
        if not isinstance(options.get("values"), list):
            raise unparsable("[ids] needs a list of [values]")
        return boosted(self._with_ids([str(value) for value in options["values"]]), options)

    def _with_ids(self, ids: list[str]) -> Query:
        return constant(Query.term_set_query(self._snapshot.schema, ID, ids)) if ids else Query.empty_query()

    def _bool(self, spec: Any) -> Query:
        allowed = {"must", "should", "filter", "must_not", "minimum_should_match", "boost"}
        options = known_keys("bool", spec, allowed)
        parts = {name: self._compile_all(options.get(name, [])) for name in ("must", "should", "must_not")}
        filters = [Query.const_score_query(query, 0.0) for query in self._compile_all(options.get("filter", []))]
        required = [(Occur.Must, query) for query in parts["must"] + filters]
        optional = [(Occur.Should, query) for query in parts["should"]]
        banned = [(Occur.MustNot, query) for query in parts["must_not"]]
        if not required and not optional and not banned:
            return boosted(Query.all_query(), options)
        return boosted(joined(required + optional + banned, options.get("minimum_should_match")), options)

    def _compile_all(self, queries: Any) -> list[Query]:
        return [self.compile(query) for query in (queries if isinstance(queries, list) else [queries])]

    def _dis_max(self, spec: Any) -> Query:
        options = known_keys("dis_max", spec, {"queries", "tie_breaker", "boost"})
        queries = self._compile_all(needed_value("dis_max", options, "queries"))
        tie_breaker = as_number("tie_breaker", options.get("tie_breaker", 0.0))
        return boosted(Query.disjunction_max_query(queries, tie_breaker), options)

    def _constant_score(self, spec: Any) -> Query:
        options = known_keys("constant_score", spec, {"filter", "boost"})
        return boosted(constant(self.compile(needed_value("constant_score", options, "filter"))), options)
