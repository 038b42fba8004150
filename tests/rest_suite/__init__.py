"""Runs the engines' own REST tests (YAML files and API descriptions) on an engine, directly and through the proxy.

python -m tests.rest_suite --engine os                    # OpenSearch's tests, fetched from Maven Central
python -m tests.rest_suite FOLDER --engine es9 --only search/
"""
