from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.settings import (
    Listen,
    Rule,
    Settings,
    add_arguments,
    flags_from,
    load_settings,
    parse_template,
)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "proxy.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def flags(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return flags_from(parser.parse_args(arguments))


def test_nothing_given_is_all_defaults() -> None:
    assert load_settings(None, {}, {}) == Settings()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}\n", "\ufeffupstream: http://localhost:9200\n"])
def test_a_file_that_says_nothing_new_is_all_defaults(write: Write, text: str) -> None:
    assert load_settings(write(text), {}, flags()) == Settings()


def test_a_whole_rule(write: Write) -> None:
    path = write(
        """\
upstream: [http://localhost:9200]
listen: 127.0.0.1:9701
rules:
  - target: "products*,-products-test"
    text: "{title} {brand} {bullets:60}"
    model: identity
    window: 20
    budget_ms: 250
    document_tokens: 64
    blend: 0.25
    scores: keep
  - {target: 2024}
"""
    )
    assert load_settings(path, {}, {}) == Settings(
        listen=Listen("127.0.0.1", 9701),
        rules=(
            Rule(
                target="products*,-products-test",
                text=parse_template("{title} {brand} {bullets:60}"),
                model="identity",
                window=20,
                budget_ms=250,
                document_tokens=64,
                blend=0.25,
                scores="keep",
            ),
            Rule(target="2024"),
        ),
    )


def test_no_rules_reranks_nothing(write: Write) -> None:
    assert load_settings(write("rules: []"), {}, {}).rules == ()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("upstream", "http://localhost:9200/", ("http://localhost:9200",)),
        ("upstream", "https://es.example/search/", ("https://es.example/search",)),
        ("upstream", "http://a:9200, http://b:9200", ("http://a:9200", "http://b:9200")),
        ("upstream", "[http://a:9200, 'http://[::1]:9200']", ("http://a:9200", "http://[::1]:9200")),
        ("listen", "0.0.0.0:0", Listen("0.0.0.0", 0)),
        ("listen", '"[::1]:9700"', Listen("::1", 9700)),
        ("listen", "localhost:80", Listen("localhost", 80)),
        ("upstream_fingerprint", ":".join(["AB"] * 32), "ab" * 32),
        ("upstream_verify", "no", False),
        ("took", "off", False),
        ("took", '"TRUE"', True),
        ("max_response_bytes", "32MB", 32_000_000),
        ("max_response_bytes", "32MiB", 33_554_432),
        ("max_response_bytes", "2048 kb", 2_048_000),
        ("max_response_bytes", "1_048_576", 1_048_576),
        ("max_response_bytes", "65536B", 65_536),
        ("cache_entries", "0", 0),
        ("log_level", "WARNING", "warning"),
        ("upstream_ca", "null", None),
        ("metadata_auth", "Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz"),
    ],
)
def test_values(write: Write, name: str, text: str, value: object) -> None:
    assert getattr(load_settings(write(f"{name}: {text}"), {}, {}), name) == value


def test_flag_before_environment_before_file_before_default(write: Write) -> None:
    path = write("listen: localhost:1\nlog_level: debug\nscorer_threads: 1\ncache_entries: 1\n")
    env = {"RERANK_PROXY_LISTEN": "localhost:2", "RERANK_PROXY_LOG_LEVEL": "error", "RERANK_PROXY_SCORER_THREADS": "2"}
    settings = load_settings(path, env, flags("--listen", "localhost:3", "--log-level", "warning"))
    assert settings == Settings(listen=Listen("localhost", 3), log_level="warning", scorer_threads=2, cache_entries=1)


def test_flags(write: Write) -> None:
    given = flags(
        *("--config", "x.yaml", "--upstream", "http://a:1", "--upstream", "http://b:2,http://c:3"),
        *("--no-upstream-verify", "--window", "20", "--budget-ms", "100", "--model", "identity"),
    )
    assert load_settings(write("took: false"), {}, given) == Settings(
        upstream=("http://a:1", "http://b:2", "http://c:3"),
        upstream_verify=False,
        took=False,
        rules=(Rule(window=20, budget_ms=100, model="identity"),),
    )


def test_environment(write: Write) -> None:
    env = {
        "RERANK_PROXY_CONFIG": str(write("cache_entries: 7")),
        "RERANK_PROXY_UPSTREAM": "http://a:1,http://b:2",
        "RERANK_PROXY_RULES": '[{"target": "a*", "window": 9}]',
        "RERANK_PROXY_UPSTREAM_CA": "",
        "PATH": "/bin",
    }
    assert load_settings(None, env, {}) == Settings(
        upstream=("http://a:1", "http://b:2"), rules=(Rule(target="a*", window=9),), cache_entries=7
    )


def test_rules_in_the_environment_replace_those_of_the_file(write: Write) -> None:
    env = {"RERANK_PROXY_RULES": "- target: b\n- target: c\n"}
    rules = load_settings(write("rules: [{target: a}]"), env, {}).rules
    assert [rule.target for rule in rules] == ["b", "c"]


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_left_alone() -> None:
    env = {
        "RERANK_PROXY_SERVICE_HOST": "10.0.0.1",
        "RERANK_PROXY_SERVICE_PORT": "9700",
        "RERANK_PROXY_SERVICE_PORT_HTTP": "9700",
        "RERANK_PROXY_PORT": "tcp://10.0.0.1:9700",
        "RERANK_PROXY_PORT_9700_TCP": "tcp://10.0.0.1:9700",
        "RERANK_PROXY_PORT_9700_TCP_ADDR": "10.0.0.1",
        "RERANK_PROXY_METRICS_SERVICE_HOST": "10.0.0.2",
        "RERANK_PROXY_METRICS_PORT": "tcp://10.0.0.2:9700",
    }
    assert load_settings(None, env, {}) == Settings()


def test_relative_paths_start_from_the_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    (tmp_path / "models").mkdir()
    monkeypatch.chdir("/")
    path = write("upstream_ca: ca.pem\nmodel_dir: models\nrules: [{model: ./models/own}, {model: own}]")
    settings = load_settings(path, {}, {})
    assert settings.upstream_ca == tmp_path / "ca.pem"
    assert settings.model_dir == tmp_path / "models"
    assert [Path(rule.model) for rule in settings.rules] == [tmp_path / "models" / "own", Path("own")]


def test_other_relative_paths_start_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {}, flags("--upstream-ca", "ca.pem", "--model", "./models/own"))
    assert settings.upstream_ca == Path("ca.pem")
    assert settings.rules[0].model == "models/own"


def test_what_is_written_for_people_hides_the_secret() -> None:
    assert "hidden-word" not in repr(load_settings(None, {"RERANK_PROXY_METADATA_AUTH": "ApiKey hidden-word"}, {}))
