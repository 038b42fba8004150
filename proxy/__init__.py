"""A proxy in front of Elasticsearch or OpenSearch that reranks search hits.

The words that the code uses, each with one meaning:

engine      the Elasticsearch or OpenSearch cluster behind the proxy; ``upstream`` is where it listens.
search      one ``_search``: target, URL parameters and body. What the core handles; never an HTTP request.
hit         one entry of ``hits.hits``; moved as the engine's own bytes.
window      the first W hits in the engine's order, the only ones that are reranked. Constant over all pages.
page        the hits ``[from, from + size)`` that the client asked for.
tail        hits of the page that lie past the window; they stay in the engine's order.
pair        a query text and a document text; what the model scores.
logit       the model's raw output for a pair. Order is by logit; a *score* is what the client reads in ``_score``.
rule        which target is reranked, and how (model, window, budget, text ...). The first that matches counts.
outcome     what became of a search: full, partial, fallback or skipped, with a reason.

Layers, one way only: ``proxy.edge`` (HTTP) -> ``proxy.core`` (pure, no I/O) -> ``proxy.scorer`` (models).
"""

__version__ = "0.1.0"
