"""sets: saved, listed, used, deleted."""

from __future__ import annotations

from pathlib import Path

from pqstore.cli import main
from tests.unit.cli.printed import printed_lines


def test_sets(files: Path, capsys) -> None:
    assert main("sets my-index --show mine".split()) == 0
    assert capsys.readouterr().out.split() == ["3", "17", "600", "99999"]
    assert main("search my-index queries.npy -k 4 --allow mine --format json".split()) == 0
    assert {tuple(sorted(line["ids"])) for line in printed_lines(capsys)} == {(3, 17, 600)}
    assert main("search my-index queries.npy -k 1200 --deny mine --format json".split()) == 0
    assert all(len(set(line["ids"]) - {3, 17, 600}) == 1197 for line in printed_lines(capsys))
    assert main("sets my-index --save other --ids gone.txt".split()) == 0
    assert "saved 3 ids" in capsys.readouterr().out
    assert main("sets my-index".split()) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-2:]] == [["mine", "4"], ["other", "3"]]
    assert main("sets my-index --drop mine".split()) == 0
    assert main("search my-index queries.npy --allow mine".split()) == 2
    assert "'mine' (sets: 'other')" in capsys.readouterr().err
