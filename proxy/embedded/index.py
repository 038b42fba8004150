"""One index: its documents, and the tantivy index that is built from them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Any

import orjson
import tantivy

from proxy.embedded import analysis
from proxy.embedded.errors import EngineError, unparsable
from proxy.embedded.mapping import Field, Mapping, Value, Values
from proxy.embedded.values import parse_object

SEQUENCE, ID, NAMES = "seq", "id", "names"
"""Own fields of the tantivy index: a document's number, its id, and the names of the fields that it has."""
_WRITER_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document; replaced as a whole, never changed."""

    id: str
    sequence: int
    """Grows with each write to the index; documents with equal scores stand in this order."""
    version: int
    source: bytes
    """The bytes that the client sent."""
    values: Values


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What searches see until the next refresh."""

    index: str
    searcher: tantivy.Searcher
    schema: tantivy.Schema
    fields: MappingType[str, Field]
    slots: MappingType[str, str]
    """Field name -> its name in the tantivy index; only fields that can be searched."""
    documents: MappingType[int, Document]

    def top(self, query: tantivy.Query, limit: int) -> tuple[list[tuple[float, Document]], int]:
        """Return the best ``limit`` (>= 1) documents, ties in the order of writing, and how many match in all.

        Among equal scores tantivy takes the documents of one segment after those of another, so more are asked for
        until one with a lower score shows that all equals of the last are there.
        """
        asked = limit + 50
        while True:
            found: Any = self.searcher.search(query, limit=asked)
            scores = [score for score, _ in found.hits]
            if found.count <= asked or scores[limit - 1] > scores[-1]:
                break
            asked = min(asked * 4, found.count)
        sequences: list[Any] = self.searcher.fast_field_values(SEQUENCE, [address for _, address in found.hits])
        ranked = sorted(zip(scores, sequences, strict=True), key=lambda hit: (-hit[0], hit[1]))
        return [(score, self.documents[int(sequence)]) for score, sequence in ranked[:limit]], found.count


class Index:
    """An index in memory. Its methods may be called from several threads."""

    def __init__(self, name: str, settings: dict[str, Any], mappings: Any) -> None:
        """Make an empty index. Raises EngineError 400."""
        self.name = name
        self.uuid = uuid.uuid4().hex[:22]
        self.created_ms = time.time_ns() // 1_000_000
        self.settings = settings
        self.mapping = Mapping()
        self.mapping.put(mappings)
        self._lock = threading.RLock()
        self._documents: dict[str, Document] = {}
        self._next_sequence = 0
        self._added: dict[int, Document] = {}
        self._removed: list[int] = []
        self._snapshot: Snapshot
        self._build()

    def put_mapping(self, mappings: Any) -> None:
        """Add fields to the mapping. Raises EngineError 400."""
        with self._lock:
            self.mapping.put(mappings)

    def get(self, doc_id: str) -> Document | None:
        """Return a document as it was last written."""
        return self._documents.get(doc_id)

    def __len__(self) -> int:
        """Return the number of documents, those too that no search sees yet."""
        return len(self._documents)

    def put(self, doc_id: str, source: bytes, create: bool = False) -> Document:
        """Write a document. Raises EngineError 400 for a bad one, 409 if ``create`` and it is there already."""
        if not 1 <= len(doc_id.encode()) <= 512:
            raise EngineError(400, "illegal_argument_exception", "an _id must have 1 to 512 bytes")
        content = parse_object(source, "a document")
        with self._lock:
            known = self._documents.get(doc_id)
            if known is not None and create:
                reason = f"[{doc_id}]: version conflict, document already exists (current version [{known.version}])"
                raise EngineError(409, "version_conflict_engine_exception", reason, index=self.name)
            values = self.mapping.read_document(content)
            version = known.version + 1 if known else 1
            document = Document(doc_id, self._next_sequence, version, source, values)
            self._next_sequence += 1
            if known is not None:
                self._forget(known)
            self._documents[doc_id] = self._added[document.sequence] = document
            return document

    def update(self, doc_id: str, change: dict[str, Any]) -> tuple[Document, str]:
        """Merge ``change["doc"]`` into a document; return it and what was done. Raises EngineError 400 or 404."""
        if not isinstance(change.get("doc", change.get("upsert")), dict):
            raise unparsable("an update needs a [doc] that is an object")
        for key in change:
            if key not in ("doc", "upsert", "doc_as_upsert", "detect_noop"):
                raise unparsable(f"an update does not know the key [{key}] here")
        with self._lock:
            known = self._documents.get(doc_id)
            if known is None:
                start = change.get("doc") if change.get("doc_as_upsert") else change.get("upsert")
                if start is None:
                    reason = f"[{doc_id}]: document missing"
                    raise EngineError(404, "document_missing_exception", reason, index=self.name)
                return self.put(doc_id, orjson.dumps(start)), "created"
            old = orjson.loads(known.source)
            merged = _merged(old, change.get("doc", {}))
            if merged == old and change.get("detect_noop", True):
                return known, "noop"
            return self.put(doc_id, orjson.dumps(merged)), "updated"

    def delete(self, doc_id: str) -> tuple[Document, str]:
        """Take a document out; return what would stand in its place, and whether it was there."""
        with self._lock:
            known = self._documents.pop(doc_id, None)
            if known is not None:
                self._forget(known)
            gone = Document(doc_id, self._next_sequence, known.version + 1 if known else 1, b"", {})
            self._next_sequence += 1
            return gone, "deleted" if known else "not_found"

    def _forget(self, document: Document) -> None:
        if self._added.pop(document.sequence, None) is None:
            self._removed.append(document.sequence)

    def refresh(self) -> None:
        """Make all writes visible to searches."""
        with self._lock:
            if self._snapshot.fields != self.mapping.fields:
                self._build()
            elif self._added or self._removed:
                self._commit(self._snapshot.fields)
            self._refreshed = time.monotonic()

    def snapshot(self) -> Snapshot:
        """Return what searches see; refreshed before, where writes have waited for the index's refresh interval."""
        interval = self.settings["refresh_interval_s"]
        if interval >= 0 and time.monotonic() - self._refreshed >= interval:
            self.refresh()
        return self._snapshot

    def _build(self) -> None:
        """Make the tantivy index anew: its schema is fixed, so this is needed whenever a field has come."""
        fields = dict(self.mapping.fields)
        self._slots = {name: f"f{number}" for number, name in enumerate(fields) if fields[name].index}
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field(SEQUENCE, indexed=True, fast=True)
        for own in (ID, NAMES):
            builder.add_text_field(own, tokenizer_name="keyword", index_option="basic")
        for name, slot in self._slots.items():
            _add_field(builder, slot, fields[name])
        self._schema = builder.build()
        self._tantivy = tantivy.Index(self._schema)
        analysis.register(self._tantivy)
        self._added = {document.sequence: document for document in self._documents.values()}
        self._removed = []
        self._commit(fields)
        self._refreshed = time.monotonic()

    def _commit(self, fields: MappingType[str, Field]) -> None:
        writer = self._tantivy.writer(_WRITER_BYTES, 1)
        for sequence in self._removed:
            writer.delete_documents_by_term(SEQUENCE, sequence)
        for sequence in sorted(self._added):
            writer.add_document(self._to_tantivy(self._added[sequence], fields))
        writer.commit()
        writer.wait_merging_threads()
        self._tantivy.reload()
        self._added, self._removed = {}, []
        documents = {document.sequence: document for document in self._documents.values()}
        searcher = self._tantivy.searcher()
        self._snapshot = Snapshot(self.name, searcher, self._schema, fields, self._slots, documents)

    def _to_tantivy(self, document: Document, fields: MappingType[str, Field]) -> tantivy.Document:
        built = tantivy.Document()
        built.add_integer(SEQUENCE, document.sequence)
        built.add_text(ID, document.id)
        for part in sorted({part for name in document.values for part in _with_parents(name)}):
            built.add_text(NAMES, part)
        for name, values in document.values.items():
            if name in self._slots:
                for value in values:
                    _add_value(built, self._slots[name], fields[name], value)
        return built


def _add_field(builder: tantivy.SchemaBuilder, slot: str, field: Field) -> None:
    if field.is_integer:
        builder.add_integer_field(slot, indexed=True, fast=True)
    elif field.is_float:
        builder.add_float_field(slot, indexed=True, fast=True)
    elif field.type == "text":
        builder.add_text_field(slot, tokenizer_name=field.analyzer, index_option="position")
    else:
        builder.add_text_field(slot, tokenizer_name="keyword", index_option="basic")


def _add_value(built: tantivy.Document, slot: str, field: Field, value: Value) -> None:
    if field.is_integer:
        built.add_integer(slot, int(value))
    elif field.is_float:
        built.add_float(slot, float(value))
    else:
        built.add_text(slot, analysis.prepared(field.analyzer, field.term(value)))


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
