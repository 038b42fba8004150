"""Loads the products of the Shopping Queries data set (ESCI) into Elasticsearch or OpenSearch.

A *product* here is a JSON-ready dict with the fields of `esci_loader.records.FIELDS`, whatever file it came from.
"""
