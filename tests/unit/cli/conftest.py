"""A directory of small files of every kind that the verbs read, and an index; and a way to run a command line there."""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main
from pqstore.cli.measuring.trials import nearest

ROWS, D = 1200, 32


@pytest.fixture(autouse=True)
def _same_pqstore_in_children(monkeypatch) -> None:
    """Child processes, wherever they run, import the pqstore that is being tested."""
    monkeypatch.setenv("PYTHONPATH", str(Path(pqstore.__file__).parents[1]), prepend=os.pathsep)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, base, queries) -> Path:
    """Files as the examples name them."""
    directory = tmp_path_factory.mktemp("prepared")
    # Plus 1: no zero vectors, which have no direction for cosine.
    vectors = base[:ROWS, :D].astype(np.float32) + 1
    asked = queries[:20, :D].astype(np.float32) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        np.save("vectors.npy", vectors)
        np.save("queries.npy", asked)
        np.save("sample.npy", vectors[::2])
        np.save("more.npy", vectors[:50] + 3)
        np.save("neighbors.npy", nearest(vectors, asked, 100, "l2"))
        write_fvecs(Path("vectors.fvecs"), vectors)
        Path("parts").mkdir()
        for part in range(3):
            np.save(f"parts/{part}.npy", vectors[part * 400 : part * 400 + 400])
        Path("names.txt").write_text("\n".join(f"photo {n}" for n in range(ROWS)))
        Path("more-ids.txt").write_text("\n".join(str(n) for n in range(1180, 1230)))
        Path("gone.txt").write_text("5\n6\n99999\n")
        Path("mine.txt").write_text("3\n17\n600\n99999\n3\n")
        write_payloads(Path("payloads.jsonl"), ROWS)
        write_payloads(Path("more.jsonl"), 50)
        line = "build vectors.npy my-index --M 8 --Ks 32 --iter 3 --originals float32 --payloads payloads.jsonl"
        assert main(line.split()) == 0
        assert main("sets my-index --save mine --ids mine.txt".split()) == 0
        assert main("export my-index vectors.faiss --to faiss".split()) == 0
        assert main("export my-index exported-codes --to npy".split()) == 0
        shutil.copy("exported-codes/codes.npy", "codes.npy")
        assert main("shards plan vectors.npy my-plan.json --rows 400".split()) == 0
        assert main("shards train my-plan.json begun-collection --M 8 --Ks 32 --originals float32".split()) == 0
        shutil.copytree("begun-collection", "built-collection")
        assert main("shards build built-collection".split()) == 0
        shutil.copytree("built-collection", "my-collection")
        assert main("shards commit my-collection".split()) == 0
        np.save("numbers.npy", np.arange(ROWS) + 5000)
        write_nanopq_pickle(Path("nanopq.pkl"))
    return directory


@pytest.fixture
def files(prepared: Path, tmp_path: Path, monkeypatch) -> Path:
    """The current directory: a copy of `prepared`, to be changed at will."""
    directory = tmp_path / "work"
    shutil.copytree(prepared, directory)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def run_line(monkeypatch) -> Iterator[Callable[[str], int]]:
    """Runs a line as a shell would, with ``< file`` and ``> file``; returns the exit status."""

    def run(line: str) -> int:
        words = shlex.split(line)
        assert words.pop(0) == "pqstore"
        with pytest.MonkeyPatch.context() as patch:
            if "<" in words:
                place = words.index("<")
                patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(words[place + 1]).read_bytes())))
                del words[place : place + 2]
            if ">" not in words:
                return main(words)
            place = words.index(">")
            target = words[place + 1]
            del words[place : place + 2]
            with Path(target).open("w") as stream, redirect_stdout(stream):
                return main(words)

    return run


def write_fvecs(path: Path, vectors: np.ndarray) -> None:
    """Rows that each begin with their dimension."""
    rows = np.empty((len(vectors), vectors.shape[1] + 1), dtype="<f4")
    rows[:, :1] = np.full((len(vectors), 1), vectors.shape[1], dtype="<i4").view("<f4")
    rows[:, 1:] = vectors
    rows.tofile(path)


def write_payloads(path: Path, rows: int) -> None:
    """A language and a year for each, but none for every tenth."""
    payloads = ({"lang": ("de", "fr", "en")[n % 3], "year": 1990 + n % 30} if n % 10 else None for n in range(rows))
    path.write_text("".join(json.dumps(payload) + "\n" for payload in payloads))


def write_nanopq_pickle(path: Path) -> None:
    """What ``pickle.dump(nanopq.PQ(...))`` writes, of the quantizer in exported-codes; nanopq is not needed."""
    from pqstore.quantizer import Quantizer

    quantizer = Quantizer.load("exported-codes/quantizer.npz")
    package, module = types.ModuleType("nanopq"), types.ModuleType("nanopq.pq")
    kind = type("PQ", (), {"__module__": "nanopq.pq", "__qualname__": "PQ"})
    module.PQ = kind
    made = kind()
    made.__dict__.update(
        M=quantizer.M,
        Ks=quantizer.Ks,
        metric="l2",
        verbose=False,
        code_dtype=np.uint8,
        codewords=quantizer.codewords.copy(),
        Ds=quantizer.Ds,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "nanopq", package)
        patch.setitem(sys.modules, "nanopq.pq", module)
        path.write_bytes(pickle.dumps(made))
