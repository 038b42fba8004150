"""Tests of ``rerank-proxy evaluate``."""
