"""Scoring of (query, document) pairs. Knows nothing of HTTP or of search engines."""
