"""The command line of the runner."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from proxy.settings import TemplateError
from tests.engines import RELEASES, EngineError, available
from tests.rest_suite.cases import read_cases
from tests.rest_suite.compare import Runner
from tests.rest_suite.fetch import SuiteError, own_suite, suite_in
from tests.rest_suite.spec import read_apis
from tests.rest_suite.stand import QUERY_TEXT, engine_for_suite, proxy_for_suite

_NAMES = {"opensearch": "os"}


def main() -> int:
    """Run a suite; 1: something goes another way through the proxy, 2: it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.rest_suite", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="folder with test/ and api/; none: the suite that Maven Central has"
    )
    parser.add_argument("--engine", required=True, choices=[*RELEASES, *_NAMES])
    parser.add_argument("--api", type=Path, help="folder of API descriptions, where it is not beside the tests")
    parser.add_argument(
        "--only", default="", help="only files whose path holds this text, or one of several with commas"
    )
    parser.add_argument("--direct-only", action="store_true", help="without the proxy")
    parser.add_argument(
        "--scored",
        action="store_true",
        help="by a model that reads the documents and likes all alike",
    )
    parser.add_argument(
        "--text",
        metavar="TEMPLATE",
        help="with --scored: what makes a document's text, such as '{text} {foo}'; else it follows from the query",
    )
    parser.add_argument("--report", type=Path, help="write the report into this file, too")
    arguments = parser.parse_args()
    name = _NAMES.get(arguments.engine, arguments.engine)
    try:
        if missing := available(name):
            raise SuiteError(missing)
        files = suite_in(arguments.folder, arguments.api) if arguments.folder else own_suite(name)
        cases, apis = read_cases(files.tests, arguments.only), read_apis(files.api)
        with ExitStack() as stack:
            engine = stack.enter_context(engine_for_suite(name))
            stand = None if arguments.direct_only else proxy_for_suite(engine, arguments.scored, arguments.text)
            proxy = None if stand is None else stack.enter_context(stand)
            text = QUERY_TEXT if arguments.scored else None
            runner = stack.enter_context(Runner(apis, engine.url, proxy.url if proxy else None, text))
            comparison = runner.run(tqdm(cases, smoothing=0.05))
    except (SuiteError, EngineError, TemplateError, RuntimeError, OSError) as error:
        print(f"rest suite: {error}", file=sys.stderr)
        return 2
    report = "\n".join(comparison.lines())
    print(report)
    if arguments.report:
        arguments.report.write_text(report + "\n", encoding="utf-8")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
