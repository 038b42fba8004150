"""The demo's page in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from proxy.demo.web import SAMPLE_QUERY, judgements
from proxy.evaluate.measures import measure, parse_gains
from tests.demo.conftest import Parts, RunningDemo
from tests.support import ask

pytestmark = pytest.mark.browser

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
]
READY = "!document.querySelector('#orders[aria-busy]')"
ROWS = """
return ['engine', 'reranked'].map(id => [...document.querySelectorAll(`#${id} .card`)].map(card => ({
  id: card.dataset.id,
  rank: card.querySelector('.rank').textContent,
  title: card.querySelector('.title').textContent,
  move: card.querySelector('.move').getAttribute('aria-label'),
  scores: card.querySelector('.values').textContent,
})))
"""


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        if os.environ.get("RERANK_REQUIRE_BROWSER") == "1":
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def browser(one_browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """A browser at desktop size, on no page; the page's scripts must not have thrown when the test ends."""
    one_browser.get("about:blank")
    one_browser.get_log("browser")
    yield one_browser
    thrown = [entry for entry in one_browser.get_log("browser") if entry["source"] in ("javascript", "security")]
    one_browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert thrown == []


def wait_for(browser: WebDriver, what: str) -> None:
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(f"return Boolean({what})"))


def open_page(browser: WebDriver, page: str, query: str | None = None) -> None:
    browser.get(f"{page}/" if query is None else f"{page}/?q={quote(query)}")
    wait_for(browser, f"{READY} && (document.querySelector('.title') || document.querySelector('.error'))")


def type_query(browser: WebDriver, text: str) -> None:
    box = browser.find_element(By.ID, "query")
    box.clear()
    box.send_keys(text, Keys.ENTER)
    wait_for(browser, f"{READY} && location.search === {json.dumps('?q=' + quote(text))}")


def text(browser: WebDriver, element_id: str) -> str:
    return browser.find_element(By.ID, element_id).text


def facts(browser: WebDriver) -> dict[str, str]:
    pairs = browser.find_elements(By.CSS_SELECTOR, "#facts div")
    return {one.find_element(By.TAG_NAME, "dt").text: one.find_element(By.TAG_NAME, "dd").text for one in pairs}


def marked(browser: WebDriver) -> list[tuple[str, str]]:
    """(column, id) of each highlighted card."""
    cards = browser.find_elements(By.CSS_SELECTOR, ".card.twin")
    return [
        (str(one.find_element(By.XPATH, "..").get_attribute("id")), str(one.get_attribute("data-id"))) for one in cards
    ]


def explained(page: str, query: str) -> dict[str, Any]:
    got: dict[str, Any] = json.loads(ask(page, "GET", f"/api/search?q={quote(query)}").body)
    return got


def test_it_opens_with_a_sample_query(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page)
    assert browser.find_element(By.ID, "query").get_attribute("value") == SAMPLE_QUERY
    assert browser.current_url.endswith(f"/?q={quote(SAMPLE_QUERY)}")
    assert [len(column) for column in browser.execute_script(ROWS)] == [10, 10]
    current = browser.find_elements(By.CSS_SELECTOR, ".samples a[aria-current]")
    assert [one.text for one in current] == [SAMPLE_QUERY]


def test_typing_a_query_shows_both_orders_as_the_api_has_them(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page)
    type_query(browser, "bike lock")
    assert [len(column) for column in browser.execute_script(ROWS)] == [10, 10]
    browser.find_element(By.ID, "more").click()
    engine, reranked = browser.execute_script(ROWS)
    hits = explained(lasting_demo.page, "bike lock")["hits"]
    assert len(hits) > 10
    by_engine = sorted(hits, key=lambda hit: hit["engine_rank"])
    for rows, wanted, rank in ((engine, by_engine, "engine_rank"), (reranked, hits, "rank")):
        assert [(row["id"], row["rank"], row["title"]) for row in rows] == [
            (hit["_id"], str(hit[rank]), hit["_source"]["title"]) for hit in wanted
        ]
    assert [row["scores"] for row in engine] == [f"score {hit['engine_score']:.2f}" for hit in by_engine]
    assert [re.findall(r"-?[\d.]+", row["scores"]) for row in reranked] == [
        [f"{hit['score']:.4f}", f"{hit['logit']:.2f}"] for hit in hits
    ]
    for row, hit in [*zip(engine, by_engine, strict=True), *zip(reranked, hits, strict=True)]:
        places = hit["engine_rank"] - hit["rank"]
        assert row["move"].startswith(
            "keeps" if places == 0 else f"{'up' if places > 0 else 'down'} {abs(places)} place"
        )
    assert text(browser, "more") == "Show the first 10"
    browser.find_element(By.ID, "more").click()
    assert [len(column) for column in browser.execute_script(ROWS)] == [10, 10]


def test_status_times_and_cache_are_shown(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    query = "yoga mat for travel"
    open_page(browser, lasting_demo.page, query)
    count = len(explained(lasting_demo.page, query)["hits"])
    shown = facts(browser)
    assert shown["X-Rerank-Status"] == "full"
    assert shown["Pairs"] == f"{count} of {count} scored"
    assert shown["From the cache"] == "0"
    assert all(re.fullmatch(r"[\d,]+\.\d ms", shown[name]) for name in ("Engine", "Scoring"))
    browser.refresh()
    wait_for(browser, f"{READY} && document.querySelector('.title')")
    assert facts(browser)["From the cache"] == str(count)
    assert text(browser, "engine-ndcg") == ""
    assert not browser.find_element(By.ID, "legend").is_displayed()


@pytest.mark.parametrize("query", [SAMPLE_QUERY, "lid for 28 cm pan"])
def test_ndcg_is_that_of_evaluate(browser: WebDriver, lasting_demo: RunningDemo, query: str) -> None:
    open_page(browser, lasting_demo.page, query)
    hits = explained(lasting_demo.page, query)["hits"]
    by_engine = sorted(hits, key=lambda hit: hit["engine_rank"])
    rankings = {"engine": [hit["_id"] for hit in by_engine], "reranked": [hit["_id"] for hit in hits]}
    grades = dict.fromkeys(rankings, judgements()[query])
    values = measure(rankings, grades, parse_gains("0=0,1=0.01,2=0.1,3=1"), 2)["nDCG@10"]
    for name, wanted in values.items():
        shown = float(text(browser, f"{name}-ndcg").removeprefix("nDCG@10 "))
        assert shown == pytest.approx(wanted, abs=6e-4)
    assert browser.find_element(By.ID, "legend").is_displayed()


def test_it_works_without_a_mouse(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page)
    type_query(browser, "garden hose 30 m")
    engine, _ = browser.execute_script(ROWS)
    keys = webdriver.ActionChains(browser)
    for _ in range(30):
        keys.send_keys(Keys.TAB).perform()
        if browser.switch_to.active_element.get_attribute("class") == "title":
            break
    assert browser.switch_to.active_element.text == engine[0]["title"]
    assert ("engine", engine[0]["id"]) in marked(browser)
    keys.send_keys(Keys.ENTER).perform()
    button = browser.switch_to.active_element
    assert button.get_attribute("aria-expanded") == "true"
    seen = text(browser, str(button.get_attribute("aria-controls")))
    hits = explained(lasting_demo.page, "garden hose 30 m")["hits"]
    assert seen == "The model reads: " + next(hit["text"] for hit in hits if hit["engine_rank"] == 1)
    keys.send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == engine[1]["title"]
    assert {key for _, key in marked(browser)} == {engine[1]["id"]}


def test_pointing_at_a_hit_marks_its_twin(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page, SAMPLE_QUERY)
    engine, reranked = browser.execute_script(ROWS)
    both = next(row["id"] for row in engine if row["id"] in {other["id"] for other in reranked})
    card = browser.find_element(By.CSS_SELECTOR, f"#engine [data-id='{both}']")
    webdriver.ActionChains(browser).move_to_element(card).perform()
    assert marked(browser) == [("engine", both), ("reranked", both)]
    lines = browser.find_elements(By.CSS_SELECTOR, "#moves .twin")
    assert [line.get_attribute("data-id") for line in lines] == [both]
    webdriver.ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert marked(browser) == []


def test_the_query_lives_in_the_address(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page, "4 person tent")
    browser.find_element(By.LINK_TEXT, "quiet keyboard").click()
    wait_for(browser, f"{READY} && location.search === '?q=quiet%20keyboard'")
    assert "eyboard" in " ".join(row["title"] for row in browser.execute_script(ROWS)[0])
    browser.back()
    wait_for(browser, f"{READY} && query.value === '4 person tent'")
    assert "ent" in browser.execute_script(ROWS)[0][0]["title"]


def test_all_sample_queries_can_be_clicked(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page)
    browser.find_element(By.CSS_SELECTOR, "#all summary").click()
    wait_for(browser, "document.querySelectorAll('#all-samples a').length > 40")
    browser.find_element(By.CSS_SELECTOR, "#all-samples").find_element(By.LINK_TEXT, "pillow without feathers").click()
    wait_for(browser, f"{READY} && location.search === '?q=pillow%20without%20feathers'")


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_it_fits_the_screen_and_nothing_jumps(browser: webdriver.Chrome, lasting_demo: RunningDemo, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    # A query that is not in the cache takes some time, so that the page is drawn before its answer comes.
    open_page(browser, lasting_demo.page, f"storage basket {width} cm")
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shift = browser.execute_async_script(
        "const done = arguments[0]; let sum = 0;"
        "new PerformanceObserver(list => { for (const one of list.getEntries()) sum += one.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
        "requestAnimationFrame(() => setTimeout(() => done(sum), 300));"
    )
    assert shift < 0.004  # half a line of text; 0.1 is commonly held to disturb


def test_nothing_found_is_said(browser: WebDriver, lasting_demo: RunningDemo) -> None:
    open_page(browser, lasting_demo.page)
    type_query(browser, "zxqv")
    assert text(browser, "message") == "Nothing found. Try other words."
    assert not browser.find_element(By.ID, "orders").is_displayed()
    type_query(browser, "tent pegs")
    assert browser.find_element(By.ID, "orders").is_displayed()


def test_markup_in_a_document_stays_text(browser: WebDriver, parts: Parts) -> None:
    title = "<img src=x onerror=\"document.title='taken'\"><b>zebrafish</b> lamp"
    product = json.dumps({"title": title, "brand": "<i>B</i>", "price": 3.5}).encode()
    stored = ask(
        parts.engine.url, "PUT", "/products/_doc/x1?refresh=true", product, {"Content-Type": "application/json"}
    )
    assert stored.status == 201
    open_page(browser, parts.page, "zebrafish")
    assert browser.execute_script(ROWS)[1][0]["title"] == title
    assert browser.find_elements(By.CSS_SELECTOR, "#orders img, #orders i") == []
    assert browser.title == "zebrafish · rerank-proxy demo"


def test_a_stopped_engine_is_said_in_words(browser: WebDriver, parts: Parts) -> None:
    open_page(browser, parts.page)
    parts.stop_engine()
    type_query(browser, "tent")
    assert text(browser, "message").startswith("The search engine does not answer")
    assert browser.find_element(By.CSS_SELECTOR, "#message.error").is_displayed()
    assert not browser.find_element(By.ID, "orders").is_displayed()


def test_a_failing_model_is_said_in_words(browser: WebDriver, parts: Parts) -> None:
    parts.model_fails = True
    open_page(browser, parts.page, "tent")
    assert text(browser, "message") == "Not reranked (model): both columns show the engine's order."
    engine, reranked = browser.execute_script(ROWS)
    assert [row["id"] for row in engine] == [row["id"] for row in reranked]
    assert facts(browser)["X-Rerank-Status"] == "fallback; reason=model"


def test_a_stopped_demo_is_said_in_words(browser: WebDriver, demo: RunningDemo) -> None:
    open_page(browser, demo.page)
    demo.stop()
    type_query(browser, "tent")
    assert text(browser, "message").startswith("The demo does not answer")
    browser.find_element(By.CSS_SELECTOR, "#message.error")
