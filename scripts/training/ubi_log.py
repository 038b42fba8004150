"""Reads logs of User Behavior Insights (UBI): searches with what they returned, and what people did with it.

Source of the format: the UBI specification 1.0 to 1.3 (github.com/o19s/ubi, folder ``schema``) and the mappings of
OpenSearch's plugin (``ubi_queries``, ``ubi_events``). Read are, of a query: ``query_id``, ``user_query``,
``query_response_hit_ids``, ``client_id``, ``session_id``, ``timestamp``; of an event: ``action_name``, ``query_id``,
``event_attributes.object.object_id`` (else ``internal_id``), ``event_attributes.position.ordinal``, ``client_id``,
``session_id``, ``timestamp``, ``user_query``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from proxy.evaluate.qrels import BadInput
from training.documents import identity_of

Records = Iterable[tuple[str, Any]]
"""(place, record); a record that is no JSON comes as a `BadInput`."""
_ACTION_LINES = {"index", "create"}
"""Lines of the bulk API that stand before each document."""


@dataclass(slots=True)
class Search:
    """One query id: a search, with all its pages."""

    query: str
    person: str | None = None
    """Session, else client; None: neither is known."""
    client: str | None = None
    """Client, else session."""
    at: float | None = None
    """Seconds since 1970."""
    hits: list[str] = field(default_factory=list)
    """Returned documents, best first, each once."""


@dataclass(slots=True)
class Event:
    """What somebody did with a document."""

    query_id: str
    action: str
    document_id: str
    ordinal: int | None
    client: str | None
    at: float | None


@dataclass(slots=True)
class Log:
    """Searches and events, and what of the files could not be used."""

    searches: dict[str, Search] = field(default_factory=dict)
    """By query id."""
    events: list[Event] = field(default_factory=list)
    unused: Counter[str] = field(default_factory=Counter)
    """Reason -> number of records."""
    first: dict[str, str] = field(default_factory=dict)
    """Reason -> place of the first such record."""

    def leave_out(self, reason: str, place: str) -> None:
        """Count a record that cannot be used."""
        self.unused[reason] += 1
        self.first.setdefault(reason, place)


def add_queries(log: Log, records: Records, since: float | None = None, skip_malformed: bool = False) -> None:
    """Add records of ``ubi_queries``.

    Several records of one query id are pages of one search: documents that are new are put behind those before.

    Args:
        log: what is added to.
        records: as `training.json_files.read_records` gives them.
        since: only what happened from then on, seconds since 1970; records without a time are taken.
        skip_malformed: count what is no JSON object instead of raising.

    Raises:
        BadInput: a record is no JSON object.
    """
    for place, record in _sources(log, records, skip_malformed):
        query_id, text = identity_of(record.get("query_id")), record.get("user_query")
        at = _seconds(record.get("timestamp"))
        if since is not None and at is not None and at < since:
            log.leave_out("queries before the time asked for", place)
        elif query_id is None:
            log.leave_out("queries without a query_id", place)
        elif not isinstance(text, str) or not text.strip():
            log.leave_out("queries without a user_query", place)
        else:
            search = log.searches.get(query_id)
            if search is None:
                search = log.searches[query_id] = Search(" ".join(text.split()), *_who(record), at)
            elif search.query.casefold() != " ".join(text.split()).casefold():
                log.leave_out("queries whose query_id has another text already", place)
                continue
            search.hits = list(dict.fromkeys(search.hits + _hit_ids(record.get("query_response_hit_ids"))))


def add_events(
    log: Log, records: Records, actions: Iterable[str], since: float | None = None, skip_malformed: bool = False
) -> None:
    """Add records of ``ubi_events``, after all queries were added.

    An event that has its own ``user_query`` needs no record of its query.

    Args:
        log: what is added to.
        records: as `training.json_files.read_records` gives them.
        actions: names of the actions that are wanted.
        since: as for `add_queries`.
        skip_malformed: as for `add_queries`.

    Raises:
        BadInput: a record is no JSON object.
    """
    wanted = frozenset(actions)
    for place, record in _sources(log, records, skip_malformed):
        action = record.get("action_name")
        query_id = identity_of(record.get("query_id"))
        attributes = _object(record.get("event_attributes"))
        thing = _object(attributes.get("object"))
        document_id = identity_of(thing.get("object_id")) or identity_of(thing.get("internal_id"))
        at = _seconds(record.get("timestamp"))
        if not isinstance(action, str) or not action:
            log.leave_out("events without an action_name", place)
        elif action not in wanted:
            log.leave_out(f"events of other actions ({action[:40]})", place)
        elif since is not None and at is not None and at < since:
            log.leave_out("events before the time asked for", place)
        elif query_id is None:
            log.leave_out("events without a query_id", place)
        elif document_id is None:
            log.leave_out("events without an object_id", place)
        elif not _has_search(log, query_id, record, at):
            log.leave_out("events whose query is not in the log", place)
        else:
            search = log.searches[query_id]
            person, client = _who({"session_id": attributes.get("session_id"), **record})
            search.person, search.client = search.person or person, search.client or client
            ordinal = _ordinal(_object(attributes.get("position")).get("ordinal"))
            log.events.append(Event(query_id, action, document_id, ordinal, client or search.client, at))


def parse_time(text: str, where: str) -> float:
    """Return seconds since 1970 of a date or time in ISO 8601, UTC where it names no zone. Raises BadInput."""
    seconds = _seconds(text)
    if seconds is None:
        raise BadInput(f"{where}: expected a date such as 2026-01-31 or 2026-01-31T12:00:00Z, found {text!r}")
    return seconds


def _sources(log: Log, records: Records, skip_malformed: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, record in records:
        if isinstance(record, Mapping):
            if len(record) == 1 and (only := next(iter(record))) in _ACTION_LINES and isinstance(record[only], Mapping):
                continue
            source = record.get("_source", record)
            if isinstance(source, Mapping):
                yield place, source
                continue
        if not skip_malformed:
            raise record if isinstance(record, BadInput) else BadInput(f"{place}: expected a JSON object")
        log.leave_out("records that are no JSON object", place)


def _has_search(log: Log, query_id: str, record: Mapping[str, Any], at: float | None) -> bool:
    if query_id in log.searches:
        return True
    text = record.get("user_query")
    if not isinstance(text, str) or not text.strip():
        return False
    log.searches[query_id] = Search(" ".join(text.split()), *_who(record), at)
    return True


def _who(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    session, client = identity_of(record.get("session_id")), identity_of(record.get("client_id"))
    return session or client, client or session


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _hit_ids(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [identity for one in values if (identity := identity_of(one))]


def _ordinal(value: object) -> int | None:
    if isinstance(value, Mapping):  # as the specification had it in version 1.0
        value = value.get("index")
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, (int, float)) and value == value and abs(value) < 1e9 and float(value).is_integer():  # noqa: PLR0124
        return int(value)
    return None


def _seconds(value: object) -> float | None:
    """Read ISO 8601 or milliseconds since 1970, the two forms that the mapping allows."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value / 1000
    if not isinstance(value, str):
        return None
    if value.isdecimal():
        return int(value) / 1000
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
