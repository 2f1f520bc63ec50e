"""The command line: each verb on real vectors, for people and for programs."""

from __future__ import annotations

import json
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


def test_search_writes_what_programs_read(files: Path, capsys) -> None:
    with pqstore.Index.open("my-index") as index:
        ids, distances = index.search(np.load("queries.npy"), k=4)
    assert main("search my-index queries.npy -k 4 --format json".split()) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["query"] for line in lines] == list(range(20))
    np.testing.assert_array_equal([line["ids"] for line in lines], ids)
    np.testing.assert_array_equal(np.array([line["distances"] for line in lines], dtype=np.float32), distances)
    assert main("search my-index queries.npy -k 4 --out found.jsonl".split()) == 0
    assert [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()] == lines
    assert main("search my-index queries.npy -k 4 --out found.npy".split()) == 0
    np.testing.assert_array_equal(np.load("found.npy"), ids)
    assert capsys.readouterr().out == ""


def test_json_leaves_padding_out(files: Path, capsys) -> None:
    np.save("few.npy", np.load("vectors.npy")[:3])
    assert main("build few.npy small --M 8 --Ks 32 --train vectors.npy --iter 2".split()) == 0
    capsys.readouterr()
    assert main("search small queries.npy -k 10 --format json".split()) == 0
    for line in capsys.readouterr().out.splitlines():
        hits = json.loads(line)
        assert sorted(hits["ids"]) == [0, 1, 2]
        assert len(hits["distances"]) == 3


def test_search_shows_a_table_of_the_first_queries(files: Path, capsys) -> None:
    assert main("search my-index queries.npy -k 2".split()) == 0
    captured = capsys.readouterr()
    header, *lines = captured.out.splitlines()
    assert header.split() == ["query", "rank", "id", "distance"]
    assert [line.split()[:2] for line in lines] == [[str(q), str(r)] for q in range(10) for r in (1, 2)]
    assert len({len(line) for line in (header, *lines)}) == 1, "columns that line up"
    assert "10 queries more" in captured.err


def test_search_prints_recall_and_times(files: Path, capsys) -> None:
    assert main("search my-index queries.npy --truth neighbors.npy".split()) == 0
    out = capsys.readouterr().out
    recall = {
        int(line.split()[0][7:]): float(line.split()[1]) for line in out.splitlines() if line.startswith("recall")
    }
    assert sorted(recall) == [1, 10, 100]
    assert 0.3 < recall[10] < 1
    assert "ms one by one" in out


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


def test_info_as_json(files: Path, capsys) -> None:
    assert main("info my-index --format json".split()) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["vectors"] == 1200
    assert facts["M"] == 8
    assert facts["kernel"] in facts["kernels"]


def test_compact_gives_removed_rows_back(files: Path, capsys) -> None:
    Path("gone.txt").write_text("\n".join(str(n) for n in range(0, 1200, 2)))
    assert main("remove my-index --ids gone.txt".split()) == 0
    assert main("compact my-index".split()) == 0
    assert "600 removed rows before, 0 after" in capsys.readouterr().out
    with pqstore.Index.open("my-index") as index:
        assert list(index) == list(range(1, 1200, 2))


def test_backup_is_the_same_index(files: Path) -> None:
    assert main("backup my-index saved".split()) == 0
    with pqstore.Index.open("my-index") as index, pqstore.Index.open("saved") as saved:
        assert list(saved) == list(index)
        np.testing.assert_array_equal(saved.codes(list(saved)), index.codes(list(index)))


def test_damage_is_found_and_repaired(files: Path, capsys) -> None:
    assert main("build vectors.npy index --M 16 --Ks 256 --iter 1".split()) == 0
    with pqstore.Index.open("index") as index:
        codes = index.codes(list(index))
    (data,) = Path("index").glob("generation-*/data.mdb")
    content = bytearray(data.read_bytes())
    # The last page of the file that is not empty belongs to a record or to a tree; damage a few until verify sees it.
    page = 4096
    for start in range(len(content) - page, 3 * page, -page):
        if any(content[start : start + page]):
            damaged = bytearray(content)
            damaged[start + page // 2 : start + page // 2 + 64] = b"\xa5" * 64
            data.write_bytes(damaged)
            capsys.readouterr()
            if main("verify index --deep --format json".split()) == 1:
                break
    else:
        pytest.fail("no damage was found")
    problems = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert problems
    assert all(problem.keys() == {"invariant", "record", "message"} for problem in problems)
    status = main("repair index mended".split())
    captured = capsys.readouterr()
    assert status == (1 if "damaged" in captured.out or "lost" in captured.out.replace("to be lost", "") else 0)
    assert "rows saved" in captured.out
    assert main("verify mended".split()) == 0
    with pqstore.Index.open("mended") as mended:
        kept = np.array(list(mended))
        np.testing.assert_array_equal(mended.codes(kept), codes[kept])


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pqstore", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"pqstore {pqstore.__version__}"


def test_help_loads_no_library() -> None:
    # The help of the command came 0.4 s late, most of it NumPy, LMDB and the metadata of the package.
    code = "import sys; from pqstore.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "completion" in done.stdout
    loaded = set(eval(done.stderr))
    assert "pqstore.cli.verbs.build" in loaded
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
