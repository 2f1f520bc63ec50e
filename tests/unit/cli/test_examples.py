"""Every verb has examples in its help, and they run; the page on the command line shows every verb."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from pqstore.cli import main, verbs
from pqstore.cli.verbs import SUMMARIES

ROOT = Path(__file__).parents[3]
MODULES = {
    module.name.rstrip("_"): importlib.import_module(f"{verbs.__name__}.{module.name}")
    for module in pkgutil.iter_modules(verbs.__path__)
}
EXAMPLE = re.compile(r"^  (pqstore .*)$", re.MULTILINE)
EXAMPLES = [line for module in MODULES.values() for line in EXAMPLE.findall(module.__doc__)]

# Libraries of extras that an example needs.
NEEDS = {"completion": "shtab", "--plot": "matplotlib"}


def test_summaries_are_the_first_lines_of_the_verbs() -> None:
    assert {name: module.__doc__.split("\n")[0] for name, module in MODULES.items()} == SUMMARIES


@pytest.mark.parametrize("verb", SUMMARIES)
def test_every_verb_has_help_with_an_example(verb: str, capsys) -> None:
    assert main([verb, "--help"]) == 0
    assert f"  pqstore {verb} " in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_runs(line: str, files: Path, run_line, capsys) -> None:
    for word, library in NEEDS.items():
        if word in line:
            pytest.importorskip(library)
    before = {str(path) for path in Path().iterdir()}
    status = run_line(line)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    made = {str(path) for path in Path().iterdir()} - before
    written = [word for word in line.split() if word in made]
    # What an example makes, it names; nothing else is left behind.
    assert sorted(made) == sorted(written)
    # A sound index has no problems to list.
    assert written or captured.out or "verify my-index --deep --format json" in line


def test_the_page_shows_every_verb() -> None:
    # The blocks of the page are run with those of all other pages.
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```(?:bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert set(re.findall(r"\bpqstore ([a-z]+)", blocks)) >= set(SUMMARIES)
