"""Reranked product search to look at: embedded engine, sample catalogue, proxy and a page, on one machine."""
