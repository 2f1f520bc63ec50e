"""The command line: verbs one after the other on real vectors, and what starting it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def test_build_add_search_remove_info_verify(files: Path, capsys) -> None:
    assert main("build vectors.npy index --M 8 --Ks 64 --iter 3".split()) == 0
    out = capsys.readouterr().out
    assert "trained" in out
    assert "1,200 vectors" in out
    assert main("add index more.npy".split()) == 0
    assert "had 1,200, has 1,250" in capsys.readouterr().out
    assert main("search index queries.npy -k 7 --out found.npz".split()) == 0
    with np.load("found.npz") as found, pqstore.Index.open("index") as index:
        expected = index.search(np.load("queries.npy"), k=7)
        np.testing.assert_array_equal(found["ids"], expected.ids)
        np.testing.assert_array_equal(found["distances"], expected.distances)
    assert main("remove index 0 1 2".split()) == 0
    assert "removed 3" in capsys.readouterr().out
    assert main("info index".split()) == 0
    out = capsys.readouterr().out
    assert "kernel" in out
    assert "1,247" in out
    assert main("verify index --deep".split()) == 0
    assert "sound: 1,247" in capsys.readouterr().out


def test_named_ids(files: Path, capsys) -> None:
    assert main("build vectors.npy index --M 8 --Ks 16 --iter 2 --ids names.txt".split()) == 0
    assert main(["remove", "index", "photo 17", "photo 18"]) == 0
    capsys.readouterr()
    assert main("search index queries.npy -k 2".split()) == 0
    assert "photo " in capsys.readouterr().out
    assert main("search index queries.npy -k 2 --out found.npz".split()) == 0
    with pqstore.Index.open("index") as index, np.load("found.npz", allow_pickle=False) as found:
        assert index.id_type == "str"
        assert "photo 16" in index
        assert "photo 17" not in index
        np.testing.assert_array_equal(found["ids"], index.search(np.load("queries.npy"), k=2).ids.astype(str))


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pqstore", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"pqstore {pqstore.__version__}"


@pytest.mark.parametrize(("words", "verbs"), [(["--help"], set()), (["build", "--help"], {"pqstore.cli.verbs.build"})])
def test_help_loads_no_library(words: list[str], verbs: set[str]) -> None:
    # The help of the command came 0.4 s late, most of it NumPy, LMDB and the metadata of the package.
    code = f"import sys; from pqstore.cli import main; main({words}); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage" in done.stdout
    loaded = set(eval(done.stderr))
    assert {name for name in loaded if name.startswith("pqstore.cli.verbs.")} == verbs
    assert not loaded & {"numpy", "lmdb", "msgpack", "rich", "faiss", "matplotlib", "scipy", "importlib.metadata"}


def test_import_loads_no_optional_library() -> None:
    code = "import sys, pqstore; pqstore.Index, pqstore.PQ, pqstore.DistanceTable; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    assert "pqstore.index" in loaded
    assert not loaded & {"rich", "faiss", "matplotlib", "scipy", "h5py", "pyarrow", "shtab", "importlib.metadata"}


def test_public_names_are_there() -> None:
    assert {name for name in pqstore.__all__ if not hasattr(pqstore, name)} == set()
    assert set(pqstore.__all__) <= set(dir(pqstore))
    with pytest.raises(AttributeError, match="no attribute 'Idnex'"):
        pqstore.Idnex  # noqa: B018


def test_a_reader_that_goes_away_is_no_error(files: Path) -> None:
    command = f"{sys.executable} -m pqstore search my-index queries.npy -k 500 --format json | head -c 100"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith('{"query": 0')
    assert done.stderr == ""
