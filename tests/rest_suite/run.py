"""Runs one case: setup, its steps, teardown."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.rest_suite.cases import Case, Step
from tests.rest_suite.checks import CHECKS
from tests.rest_suite.client import Client, Response
from tests.rest_suite.cluster import Cluster
from tests.rest_suite.skips import listed, why_skipped
from tests.rest_suite.spec import RAW, Api, BadCall, Request, documents_of, parsed, raw_request
from tests.rest_suite.values import (
    MISSING,
    Failure,
    Stash,
    as_java,
    is_true,
    look_up,
    pattern_of,
    search_pattern,
)

_EXPECTATIONS = ("catch", "warnings", "warnings_regex", "allowed_warnings", "allowed_warnings_regex")
_ABOUT_THE_CALL = frozenset((*_EXPECTATIONS, "headers", "node_selector"))
_WAIT_FOR_REPLICAS = "1s"
"""Instead of 30 s: on a single node they never come."""
_CONDITIONS = ("skip", "requires")
_CATCHES = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "missing": 404,
    "request_timeout": 408,
    "conflict": 409,
    "gone": 410,
    "unavailable": 503,
}
_EVENTUALLY_S = 10
"""How long the steps of `eventually` may take to hold, as with the engines' runner."""
_PAUSE_S = 0.2
_ALWAYS_ALLOWED = "Legacy index templates are deprecated in favor of composable templates."
"""A warning that the engines' runner lets pass anywhere."""
_WARNING = re.compile(r'^299 \S+ "(?:\[.*?\]\[-?\d+:-?\d+\] )?((?:\\.|[^"\\])*)"')
"""A Warning header; the place in the body that some texts begin with is left out."""


@dataclass(frozen=True)
class Exchange:
    """A call and its answer, to be compared with the same call's another way."""

    api: str
    request: str
    response: Response


@dataclass
class Result:
    """What became of a case."""

    status: str = "passed"
    """``passed``, ``failed`` or ``skipped``."""
    detail: str = ""
    exchanges: list[Exchange] = field(default_factory=list)


class _Skipped(Exception):
    pass


def run_case(case: Case, client: Client, apis: dict[str, Api], cluster: Cluster) -> Result:
    """Run a case on a wiped cluster; it never raises, and the teardown runs in any case."""
    run = _Run(client, apis, cluster)
    result = Result(exchanges=run.exchanges)
    conditions = [step for step in case.teardown if step[0] in _CONDITIONS]
    for steps in ((*conditions, *case.setup, *case.steps), case.teardown):
        try:
            for step in steps:
                run.do_step(step)
        except _Skipped as skipped:
            result.status, result.detail = "skipped", str(skipped)
            return result
        except Exception as error:  # whatever goes wrong belongs into the report, and the other cases are run
            if result.status == "passed":
                result.status = "failed"
                result.detail = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
    return result


class _Run:
    def __init__(self, client: Client, apis: dict[str, Api], cluster: Cluster) -> None:
        self._client = client
        self._apis = apis
        self._cluster = cluster
        self._stash = Stash(_project_id_prefix_="")
        self._response: Response | None = None
        self.exchanges: list[Exchange] = []

    def do_step(self, step: Step) -> None:
        kind, wanted = step
        if kind in _CONDITIONS:
            why = why_skipped(kind, wanted, self._cluster, self._client)
            if why is not None:
                raise _Skipped(why)
        elif kind == "do":
            self._do(wanted)
        elif kind in ("is_true", "is_false", "exists", "not_exists"):
            self._check_presence(kind, str(wanted))
        elif kind in CHECKS:
            for path, expected in wanted.items():
                actual = self._at(path)
                filled = self._filled(expected)
                if not CHECKS[kind](self._text_if_pattern(path, filled, actual), filled):
                    shown = "nothing" if actual is MISSING else repr(actual)[:600]
                    raise Failure(f"{kind}: {path!r} is {shown}, expected {filled!r} [{self._last()}]")
        elif kind == "set":
            for path, name in wanted.items():
                self._stash[name] = self._present(path)
        elif kind == "transform_and_set":
            for name, formula in wanted.items():
                self._stash[name] = self._transformed(str(formula))
        elif kind == "eventually":
            self._repeat([inner for steps in wanted for inner in steps.items()])
        else:
            raise _Skipped(f"the runner has no {kind}")

    def _repeat(self, steps: list[Step]) -> None:
        """Take steps until all of them hold."""
        end = time.monotonic() + _EVENTUALLY_S
        before = len(self.exchanges)
        while True:
            try:
                for step in steps:
                    self.do_step(step)
            except Failure:
                if time.monotonic() >= end:
                    raise
                del self.exchanges[before:]  # how many attempts it takes is no difference
                time.sleep(_PAUSE_S)
            else:
                return

    def _last(self) -> str:
        return self.exchanges[-1].request if self.exchanges else "no call"

    def _at(self, path: str) -> Any:
        if path == "$body":
            return self._response.parsed if self._response else MISSING
        first = path.split(".", 1)[0]
        if first.startswith("$") and first != "$body" and first[1:] in self._stash and "." not in path:
            return self._stash[first[1:]]
        if self._response is None:
            raise Failure(f"there is no answer to look for {path!r} in")
        return look_up(self._response.parsed, path.removeprefix("$body."), self._stash)

    def _filled(self, expected: Any) -> Any:
        """An expected value may be a part of the answer itself."""
        if isinstance(expected, str) and expected.startswith("$body."):
            return self._present(expected)
        return self._stash.fill(expected)

    def _text_if_pattern(self, path: str, expected: Any, actual: Any) -> Any:
        """A pattern for the body is meant for its text."""
        return self._response.text if path == "$body" and pattern_of(expected) and self._response else actual

    def _present(self, path: str) -> Any:
        value = self._at(path)
        if value is MISSING:
            raise Failure(f"there is no {path!r} [{self._last()}]")
        return value

    def _check_presence(self, kind: str, path: str) -> None:
        value = self._at(path)
        holds = is_true(value) if kind.startswith("is_") else value is not MISSING and value is not None
        if holds is not (kind in ("is_true", "exists")):
            raise Failure(
                f"{kind}: {path!r} is {'nothing' if value is MISSING else repr(value)[:600]} [{self._last()}]"
            )

    def _transformed(self, formula: str) -> Any:
        encoded = re.match(r"#base64EncodeCredentials\(([^,]+),([^)]+)\)$", formula)
        if encoded is None:
            return formula
        return base64.b64encode(f"{self._present(encoded[1])}:{self._present(encoded[2])}".encode()).decode()

    def _do(self, wanted: dict[str, Any]) -> None:
        self._check_node(wanted.get("node_selector"))
        # Of several calls in one step the engines' runner makes the last.
        name, arguments = [(key, value) for key, value in wanted.items() if key not in _ABOUT_THE_CALL][-1]
        filled = self._stash.fill(_with_body_read(arguments or {}))
        headers = {
            "Content-Type" if key.lower() == "content-type" else key: str(value)
            for key, value in (self._stash.fill(wanted.get("headers")) or {}).items()
        }
        catch = wanted.get("catch")
        try:
            request = self._request(name, filled, headers)
        except BadCall:
            if catch == "param":
                return
            raise
        response = self._client.send(request)
        self.exchanges.append(Exchange(name, str(request), response))
        self._response = response
        self._check_status(response, catch, {int(code) for code in listed(filled.get("ignore"))})
        if response.status < 400:
            self._check_warnings(response, wanted)

    def _request(self, name: str, arguments: dict[str, Any], headers: dict[str, str]) -> Request:
        api = self._apis.get(name)
        if api is None:
            if name == RAW:
                return raw_request(arguments, headers)
            raise Failure(f"the suite describes no API {name}")
        if arguments.get("wait_for_active_shards") == "all" and "timeout" in api.params:
            arguments.setdefault("timeout", _WAIT_FOR_REPLICAS)
        return api.request(arguments, headers)

    def _check_node(self, selector: dict[str, Any] | None) -> None:
        if not selector:
            return
        if "version" in selector and not self._fits_version(str(selector["version"])):
            raise _Skipped(f"no node of version {selector['version']}")
        for name, value in (selector.get("attribute") or {}).items():
            if self._cluster.attributes.get(name) != str(value):
                raise _Skipped(f"no node with {name}={value}")

    def _fits_version(self, ranges: str) -> bool:
        return ranges in ("current", "original") or self._cluster.in_ranges(ranges)

    def _check_status(self, response: Response, catch: str | None, ignored: set[int]) -> None:
        # What a HEAD request does not find is an answer, no error.
        is_error = response.status >= 400 and not (response.method == "HEAD" and response.status == 404)
        said = f"{response.status} {response.text[:600]} [{self._last()}]"
        if catch is None:
            if is_error and response.status not in ignored:
                raise Failure(f"unexpected error {said}")
            return
        if not is_error:
            raise Failure(f"catch {catch}: no error but {said}")
        if catch in _CATCHES:
            holds = response.status == _CATCHES[catch]
        elif catch == "request":
            holds = response.status not in _CATCHES.values()
        elif catch == "param":  # what a client library may leave to the engine
            holds = response.status == 400
        elif (pattern := pattern_of(catch)) is not None:
            holds = search_pattern(pattern, as_java(look_up(response.parsed, "error", self._stash)), verbose=False)
        else:
            holds = False
        if not holds:
            raise Failure(f"catch {catch}: {said}")

    def _check_warnings(self, response: Response, wanted: dict[str, Any]) -> None:
        came = [_warning_text(value) for value in response.all_headers("warning")]
        needed, needed_patterns = wanted.get("warnings") or [], wanted.get("warnings_regex") or []
        allowed = [*needed, *(wanted.get("allowed_warnings") or [])]
        patterns = [*needed_patterns, *(wanted.get("allowed_warnings_regex") or [])]
        for text in came:
            if text.endswith(_ALWAYS_ALLOWED):
                continue
            if text not in allowed and not any(re.search(pattern, text) for pattern in patterns):
                raise Failure(f"unexpected warning {text!r} [{self._last()}]")
        missing = [text for text in needed if text not in came]
        missing += [pattern for pattern in needed_patterns if not any(re.search(pattern, text) for text in came)]
        if missing:
            raise Failure(f"no warning {missing} but {came} [{self._last()}]")


def _items(body: Any) -> list[Any]:
    return body if isinstance(body, list) else [body]


def _with_body_read(arguments: dict[str, Any]) -> dict[str, Any]:
    """Stashed values stand in a body as values of their own: where a text may name one it is read first."""
    texts = [item for item in _items(arguments.get("body")) if isinstance(item, str)]
    if not any("$" in text for text in texts):
        return arguments
    return {**arguments, "body": [parsed(document) for document in documents_of(arguments["body"])]}


def _warning_text(value: str) -> str:
    match = _WARNING.match(value)
    return unquote(re.sub(r"\\(.)", r"\1", match[1])) if match else value
