"""The demo's page in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.demo.conftest import RunningDemo

pytestmark = pytest.mark.browser

QUERY = "phone case without card holder"
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


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        if os.environ.get("RERANK_REQUIRE_BROWSER") == "1":
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


def titles(browser: WebDriver, column: str) -> list[str]:
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, f"#{column} .title")]


def wait_for(browser: WebDriver, what: str) -> None:
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(f"return Boolean({what})"))


def test_typing_a_query_shows_both_orders(browser: WebDriver, demo: RunningDemo) -> None:
    browser.get(demo.page)
    wait_for(browser, "document.querySelector('#reranked li')")
    box = browser.find_element(By.ID, "query")
    box.clear()
    box.send_keys("bike lock", Keys.ENTER)
    wait_for(browser, "location.search === '?q=bike%20lock' && message.textContent === ''")
    engine, reranked = titles(browser, "engine"), titles(browser, "reranked")
    assert len(engine) == len(reranked) == 10
    assert any("lock" in title.casefold() for title in reranked[:3])
    browser.find_element(By.ID, "more").click()
    everything = titles(browser, "engine")
    assert len(everything) > 10
    assert sorted(everything) == sorted(titles(browser, "reranked"))
    assert browser.find_element(By.CSS_SELECTOR, "#facts dd").text == "full"


def test_positions_and_moves_agree(browser: WebDriver, demo: RunningDemo) -> None:
    browser.get(f"{demo.page}/?q={QUERY.replace(' ', '%20')}")
    wait_for(browser, "document.querySelector('#reranked li')")
    browser.find_element(By.ID, "more").click()
    rows = browser.execute_script(
        "return ['engine', 'reranked'].map(id => [...document.querySelectorAll(`#${id} li`)].map(li => "
        "[li.dataset.id, Number(li.querySelector('.rank').textContent), li.querySelector('.move').textContent]))"
    )
    engine, reranked = ({row[0]: row for row in column} for column in rows)
    assert engine.keys() == reranked.keys()
    for key, (_, rank, move) in reranked.items():
        places = engine[key][1] - rank
        assert move == ("=" if places == 0 else f"{'▲' if places > 0 else '▼'} {abs(places)}")
    assert browser.find_element(By.ID, "engine-ndcg").text.startswith("nDCG@10 ")


def test_keyboard_alone_marks_the_twin(browser: WebDriver, demo: RunningDemo) -> None:
    browser.get(f"{demo.page}/?q={QUERY.replace(' ', '%20')}")
    wait_for(browser, "document.querySelector('#reranked li')")
    browser.execute_script("document.querySelector('#engine li').focus()")
    marked = browser.find_elements(By.CSS_SELECTOR, "li.twin")
    assert len({one.get_attribute("data-id") for one in marked}) == 1
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element == browser.find_elements(By.CSS_SELECTOR, "#engine li")[1]


def test_a_stopped_demo_is_said_in_words(browser: WebDriver, demo: RunningDemo) -> None:
    browser.get(demo.page)
    wait_for(browser, "document.querySelector('#reranked li')")
    demo.stop()
    box = browser.find_element(By.ID, "query")
    box.clear()
    box.send_keys("tent", Keys.ENTER)
    wait_for(browser, "message.className === 'error'")
    assert "does not answer" in browser.find_element(By.ID, "message").text
