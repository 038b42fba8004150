"""A first stage that is a real engine: what it finds for a query and nobody judged makes hard negatives."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Container, Sequence
from urllib.parse import unquote, urlsplit


class EngineError(ValueError):
    """An engine that cannot be asked: one line that says which, and why."""


class EngineCandidates:
    """Asks Elasticsearch or OpenSearch, one query a request; each answer is kept for the run."""

    def __init__(self, url: str, index: str, fields: Sequence[str], known: Container[str]) -> None:
        """Name the engine; nothing is asked yet.

        Args:
            url: of the cluster, credentials inside it if it wants them (``https://user:password@host:9200``).
            index: whose ids are those of the documents trained on.
            fields: searched with ``multi_match``.
            known: ids that can be trained on; others that are found are left out.
        """
        parts = urlsplit(url)
        named, _, host = parts.netloc.rpartition("@")
        self._address = f"{parts._replace(netloc=host).geturl().rstrip('/')}/{index}/_search"
        self._headers = {"Content-Type": "application/json"}
        if named:
            self._headers["Authorization"] = "Basic " + base64.b64encode(unquote(named).encode()).decode()
        self._fields, self._known = list(fields), known
        self._kept: dict[tuple[str, int], list[str]] = {}

    def find(self, query: str, count: int) -> list[str]:
        """Return ids, best first.

        Raises:
            EngineError: the engine cannot be reached or refuses.
        """
        if (query, count) not in self._kept:
            body = {
                "size": count,
                "_source": False,
                "query": {"multi_match": {"query": query, "fields": self._fields}},
            }
            self._kept[query, count] = [i for i in self._ask(body) if i in self._known]
        return self._kept[query, count]

    def _ask(self, body: dict[str, object]) -> list[str]:
        try:
            request = urllib.request.Request(self._address, json.dumps(body).encode(), self._headers, method="POST")
            with urllib.request.urlopen(request, timeout=60) as answer:
                hits = json.load(answer)["hits"]["hits"]
        except urllib.error.HTTPError as error:
            raise EngineError(f"{self._address} answered {error.code}: {error.read(300)!r}") from error
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            raise EngineError(f"{self._address} cannot be searched: {error}") from error
        return [str(hit["_id"]) for hit in hits]
