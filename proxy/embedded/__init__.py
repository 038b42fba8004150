"""A small search engine inside the process, for demos, first steps and tests.

It speaks the part of Elasticsearch's HTTP API that such uses need, over tantivy, with everything in memory. What it
does not know it refuses with an error in the engine's form that names it; it never guesses.

``server`` (HTTP) -> ``routes`` -> ``searching``, ``documents``, ``admin`` (one function an API) -> ``search_request``,
``search``, ``queries``, ``fetch``, ``highlight`` -> ``engine``, ``index``, ``mapping``, ``analysis``.
"""

from proxy.embedded.server import EmbeddedServer, start_embedded

__all__ = ["EmbeddedServer", "start_embedded"]
