"""Every message is one line that names the setting, where it is written, what is wrong, and what to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.settings import SettingsError, load_settings

SECRET = "s3cr,et//w?rd"


@dataclass(frozen=True)
class Case:
    """Wrong settings, and what the message must say; ``FILE`` stands for the file's path."""

    says: tuple[str, ...]
    file: str | bytes | None = None
    env: dict[str, str] = field(default_factory=dict)
    flags: dict[str, object] = field(default_factory=dict)


def message(case: Case, tmp_path: Path) -> str:
    path: Path | None = None
    if case.file is not None:
        path = tmp_path / "proxy.yaml"
        path.write_bytes(case.file if isinstance(case.file, bytes) else case.file.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(path, case.env, case.flags)
    text = str(caught.value)
    assert text.isprintable(), "a message is one line"
    return text.replace(str(path), "FILE")


CASES = {
    # Unknown names.
    "unknown": Case(("upstreem (FILE:2): there is no such setting (did you mean upstream?)",), "\nupstreem: x"),
    "hyphens": Case(("log-level (FILE:1):", "did you mean log_level?"), "log-level: info"),
    "far": Case(("zzz (FILE:1): there is no such setting; correct the name or remove it",), "zzz: 1"),
    "rule's key": Case(("window (FILE:1): is a rule's key; write it under rules",), "window: 3"),
    "unknown in rule": Case(
        ("rules[1].budget (FILE:4): a rule has no such key (did you mean budget_ms?); its keys are target, text",),
        "rules:\n- target: a\n- target: b\n  budget: 3",
    ),
    "setting in rule": Case(("rules[0].listen (FILE:1): is no key of a rule",), "rules: [{listen: 'a:1'}]"),
    "unknown variable": Case(
        ("RERANK_PROXY_LISTNE (environment): there is no such setting (did you mean RERANK_PROXY_LISTEN?)",),
        env={"RERANK_PROXY_LISTNE": ""},
    ),
    "rule's key as variable": Case(
        ("RERANK_PROXY_WINDOW (environment)", "write it into RERANK_PROXY_RULES, or use --window"),
        env={"RERANK_PROXY_WINDOW": "3"},
    ),
    "port as variable": Case(("RERANK_PROXY_PORT (environment)",), env={"RERANK_PROXY_PORT": "9700"}),
    "unknown flag": Case(("listn (flag): there is no such flag (did you mean listen?)",), flags={"listn": "x"}),
    "setting without flag": Case(("cache_entries (flag): there is no such flag",), flags={"cache_entries": "1"}),
    # The file as such.
    "twice": Case(
        ("listen (FILE:3): is given twice, first in line 1; keep one",), "listen: a:1\ntook: no\nlisten: b:2"
    ),
    "twice in rule": Case(("window (FILE:3): is given twice, first in line 2",), "rules:\n- window: 1\n  window: 2"),
    "no mapping": Case(("FILE:1: holds no settings; write lines such as upstream:",), "- a"),
    "only text": Case(("FILE:1: holds no settings",), "http://localhost:9200"),
    "unquoted braces": Case(
        ("FILE:2:", "is no YAML", "in double quotes"),
        "rules:\n- text: {title} {brand}",
    ),
    "unquoted star": Case(("FILE:1:", "is no YAML", "in double quotes"), "rules: [{target: *,-.*}]"),
    "unquoted IPv6": Case(("FILE:1:", "is no YAML", "in double quotes"), "listen: [::1]:9700"),
    "tab": Case(("FILE:2:1: is no YAML: a tab begins the line or value; indent with spaces",), "rules:\n\t- target: a"),
    "two documents": Case(("FILE:2:1: is no YAML: a second document begins; keep one",), "took: no\n---\ntook: yes"),
    "control character": Case(("FILE:2: is no YAML", "remove the character"), "took: no\nlisten: \x07"),
    "not UTF-8": Case(("FILE: is not UTF-8 text (byte 6)",), b"took: \xff"),
    "tag": Case(("FILE:1: the tag !env is not known",), "listen: !env LISTEN"),
    "list as name": Case(("FILE:1: a name is no list or mapping",), "? [a]\n: b"),
    "an alias of itself": Case(("FILE:1: is nested too deeply",), "rules: &a [*a]"),
    "deep": Case(("FILE", "is nested too deeply"), "rules: " + "[" * 5000 + "]" * 5000),
    # Shapes.
    "no value": Case(
        ("listen (FILE:1): there is no value; leave it out for the default 127.0.0.1:9700, or write host",), "listen:"
    ),
    "rules without value": Case(("rules (FILE:1): there is no value; write [] to rerank nothing",), "rules:"),
    "rules as mapping": Case(("rules (FILE:1): this is no list; begin each rule with a dash",), "rules: {target: a}"),
    "rule as text": Case(("rules[1] (FILE:3): this is no rule",), "rules:\n- target: a\n- products"),
    "empty rule": Case(("rules[0] (FILE:2): this is no rule",), "rules:\n-"),
    "list for one value": Case(
        ("listen (FILE:1): there is a list where one value is wanted; write host:port",), "listen: [a]"
    ),
    "unquoted template": Case(
        (
            "rules[0].text (FILE:2): there is a mapping where one value is wanted; write a text",
            "braces in double quotes",
        ),
        "rules:\n- text: {title}",
    ),
    "no nodes": Case(("upstream (FILE:1): the list is empty",), "upstream: []"),
    "node without value": Case(("upstream[1] (FILE:3): there is nothing",), "upstream:\n- http://a\n-"),
    # URLs and addresses.
    "no scheme": Case(("upstream (FILE:1): 'localhost:9200' does not say http",), "upstream: localhost:9200"),
    "other scheme": Case(("upstream (--upstream): 'ftp://a' has the scheme ftp://",), flags={"upstream": ["ftp://a"]}),
    "second node": Case(
        ("upstream[1] (RERANK_PROXY_UPSTREAM): 'b' does not say",), env={"RERANK_PROXY_UPSTREAM": "http://a,b"}
    ),
    "second of list": Case(("upstream[1] (FILE:3): 'b' does not say",), "upstream:\n- http://a\n- b"),
    "no host": Case(("upstream (FILE:1): 'http://:9200' names no host",), "upstream: http://:9200"),
    "bad port": Case(("upstream (FILE:1): 'http://a:99999' is no URL: Port",), "upstream: http://a:99999"),
    "no port": Case(("upstream (FILE:1)", "names no host"), "upstream: http://a:0"),
    "bad IPv6": Case(("upstream (FILE:1): 'http://[::1' is no URL",), "upstream: 'http://[::1'"),
    "query string": Case(("upstream (FILE:1)", "has a query string"), "upstream: http://a/?x=1"),
    "space": Case(("upstream (FILE:1)", "holds spaces"), "upstream: 'http://a b'"),
    "password": Case(
        ("upstream (FILE:1): 'https://***@es:9200' holds a user or password", "metadata_auth"),
        f"upstream: 'https://elastic:{SECRET}@es:9200'",
    ),
    "password without scheme": Case(
        ("upstream (RERANK_PROXY_UPSTREAM): '***@es:9200' holds a user or password",),
        env={"RERANK_PROXY_UPSTREAM": f"elastic:{SECRET}@es:9200"},
    ),
    "port alone": Case(
        ("listen (FILE:1): '9700' has no port", "write host:port", "example 127.0.0.1:9700"), "listen: 9700"
    ),
    "no address": Case(("listen (--listen): ':9700' names no address", "0.0.0.0:9700"), flags={"listen": ":9700"}),
    "port too large": Case(("listen (FILE:1): 'a:65536' has no port from 0 to 65535",), "listen: a:65536"),
    "IPv6 without brackets": Case(
        ("listen (FILE:1): '::1:9700' is no IPv6 address in brackets",), "listen: '::1:9700'"
    ),
    "URL to listen at": Case(("listen (FILE:1): 'http://a' is no address",), "listen: http://a:1"),
    "fingerprint": Case(("upstream_fingerprint (FILE:1): 'AB:CD' is no SHA-256",), "upstream_fingerprint: AB:CD"),
    "secret": Case(
        ("metadata_auth (FILE:1): the value (not shown here) is no Authorization header",), f"metadata_auth: {SECRET}"
    ),
    "secret in two lines": Case(
        ("metadata_auth (RERANK_PROXY_METADATA_AUTH): the value (not shown here)",),
        env={"RERANK_PROXY_METADATA_AUTH": f"ApiKey {SECRET}\n"},
    ),
    # Plain values.
    "word for number": Case(
        ("rules[0].window (FILE:1): 'many' is no whole number; write a whole number from 1 to 10000, for example 50",),
        "rules: [{window: many}]",
    ),
    "fraction": Case(("rules[0].budget_ms (FILE:1): '1.5' is no whole number",), "rules: [{budget_ms: 1.5}]"),
    "negative": Case(("cache_entries (FILE:1): '-1' is no whole number",), "cache_entries: -1"),
    "other digits": Case(("cache_entries (FILE:1)", "is no whole number"), "cache_entries: '\u0663'"),
    "octal": Case(("scorer_threads (FILE:1): '010' is no whole number",), "scorer_threads: 010"),
    "window 0": Case(("rules[0].window (FILE:1): '0' is too small",), "rules: [{window: 0}]"),
    "window 10001": Case(("window (--window): '10001' is too large",), flags={"window": "10001"}),
    "budget 0": Case(("budget_ms (--budget-ms): '0' is too small",), flags={"budget_ms": 0}),
    "tokens 0": Case(("rules[0].document_tokens (FILE:1): '0' is too small",), "rules: [{document_tokens: 0}]"),
    "share": Case(("rules[0].blend (FILE:1): '1.01' is too large",), "rules: [{blend: 1.01}]"),
    "no number": Case(("rules[0].blend (FILE:1): '.nan' is no number",), "rules: [{blend: .nan}]"),
    "scores": Case(
        ("rules[0].scores (FILE:1): 'keeep' is unknown (did you mean keep?); write replace or keep",),
        "rules: [{scores: keeep}]",
    ),
    "level": Case(("log_level (FILE:1): 'warn' is unknown (did you mean warning?)",), "log_level: warn"),
    "switch": Case(("took (FILE:1): 'maybe' is neither true nor false",), "took: maybe"),
    "bytes": Case(("max_request_bytes (FILE:1): '1 XB' is no number of bytes",), "max_request_bytes: 1 XB"),
    "bytes without power": Case(("max_request_bytes (FILE:1): '1iB' is no number of bytes",), "max_request_bytes: 1iB"),
    "too few bytes": Case(("max_request_bytes (FILE:1): '1kB' is too small",), "max_request_bytes: 1kB"),
    "target": Case(("rules[0].target (FILE:1): '-a' only excludes",), "rules: [{target: -a}]"),
    "empty name": Case(("rules[0].target (FILE:1): 'a,,b' holds an empty name",), "rules: [{target: 'a,,b'}]"),
    "template": Case(
        ("rules[0].text (FILE:1): at character 18 of '{title} {bullets:0}': '0' is no number of tokens",),
        "rules: [{text: '{title} {bullets:0}'}]",
    ),
    "model": Case(
        ("rules[0].model (FILE:1): 'my model' is neither a model's name nor a path",), "rules: [{model: my model}]"
    ),
    "missing file": Case(("upstream_ca (FILE:1):", "none.pem does not exist"), "upstream_ca: none.pem"),
    "folder for file": Case(("upstream_ca (FILE:1):", "is no file"), "upstream_ca: ."),
    "file for folder": Case(("model_dir (FILE:1):", "is no folder"), "model_dir: proxy.yaml"),
    "unknown home": Case(("model_dir (FILE:1): ~nobody-here/x",), "model_dir: ~nobody-here/x"),
    "long value": Case(("log_level (FILE:1): 'xxx", "...' is unknown"), "log_level: " + "x" * 500),
    "line break": Case(("log_level (FILE:1): 'a\\nb' is unknown",), 'log_level: "a\\nb"'),
    # Several together.
    "rule flag beside rules": Case(
        ("window (--window): sets the built-in rule, but there are rules in FILE:2; write window there",),
        "took: no\nrules: []",
        flags={"window": "3"},
    ),
    "rule flag beside rules in the environment": Case(
        ("model (--model)", "there are rules in RERANK_PROXY_RULES"),
        env={"RERANK_PROXY_RULES": "[]"},
        flags={"model": "base"},
    ),
    "rules in the environment": Case(
        ("rules[1].window (RERANK_PROXY_RULES:2): 'x' is no whole number",),
        env={"RERANK_PROXY_RULES": "- target: a\n- window: x"},
    ),
    "an overridden value is checked too": Case(("log_level (FILE:1)",), "log_level: loud", flags={"log_level": "info"}),
    "authority and fingerprint": Case(
        ("upstream_ca (FILE:1): has no effect beside upstream_fingerprint (RERANK_PROXY_UPSTREAM_FINGERPRINT)",),
        "upstream_ca: proxy.yaml",
        env={"RERANK_PROXY_UPSTREAM_FINGERPRINT": "ab" * 32},
    ),
    "authority unchecked": Case(
        ("upstream_ca (FILE:1): has no effect while upstream_verify is false (--no-upstream-verify)",),
        "upstream_ca: proxy.yaml",
        flags={"upstream_verify": "false"},
    ),
    "answer above the whole": Case(
        ("max_response_bytes (default): 33554432 bytes are more than max_buffered_bytes (FILE:1), 2097152",),
        "max_buffered_bytes: 2MiB",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_message(case: Case, tmp_path: Path) -> None:
    text = message(case, tmp_path)
    for part in case.says:
        assert part in text
    for piece in SECRET.split(","):
        assert piece not in text
    assert len(text) < 450


def test_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {}, {})
    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory; give --config the path of a YAML file"
    )


def test_file_of_the_environment_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        load_settings(None, {"RERANK_PROXY_CONFIG": str(path)}, {})
