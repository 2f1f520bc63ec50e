"""The public names: type checkers see the same ones, and using them loads nothing that few ask for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np

import pqstore


def test_public_names_load_what_few_ask_for_later() -> None:
    # They cost 87 ms over NumPy: an event loop, the package's metadata, archives and filters among it.
    code = "import sys; before = set(sys.modules); from pqstore import *; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    assert "pqstore.index" in loaded
    rooms = {"pqstore.index.filters", "pqstore.storage.repair.repair"}
    libraries = {"asyncio", "importlib.metadata", "zipfile", "tempfile", "scipy", "hashlib", "logging"}
    assert not loaded & (rooms | libraries)


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse(Path(pqstore.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (node.module, alias.name, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(room, name, name) for room, names in pqstore._ROOMS.items() for name in names}


def test_opening_and_searching_load_no_scipy(tmp_path, base, queries) -> None:
    # It serves where a rotation is fitted, and takes longer to load than a search takes.
    opq = pqstore.OPQ(M=8, Ks=16, verbose=False).fit(base[:500], pq_iter=2, rotation_iter=2)
    with pqstore.Index.create(tmp_path / "index", opq, originals="float16") as index:
        index.add(base[:500])
    np.save(tmp_path / "queries.npy", queries[:3])
    code = (
        "import sys, numpy, pqstore; index = pqstore.Index.open('index'); asked = numpy.load('queries.npy'); "
        "index.search(asked, k=3, rerank=10); index.add(asked); index.range_search(asked, 1.0); "
        "pqstore.PQ(M=8, Ks=4, verbose=False).fit(asked.repeat(9, axis=0)); "
        "print([name for name in sys.modules if 'scipy' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
