"""A ~ at the beginning of a path is the home directory, in every argument that is a path."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from pqstore.cli import main
from pqstore.cli.inputs.paths import path
from pqstore.cli.main import make_parser

# Metavars of arguments that are no paths.
OTHERS = {
    "FIELD",
    "ID",
    "JSON",
    "NAME",
    "NAME,...",
    "N",
    "R",
    "R,...",
    "M,...",
    "KS,...",
    "pq,opq",
    "RECALL",
    "ROWS",
    "ROWS,...",
    "SECONDS",
    "TEXT",
    "WEIGHT",
} | {"SHELL"}


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments of all verbs, and of their steps."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                found += actions(verb)
        elif action.metavar is not None:
            found.append(action)
    return found


def test_every_argument_that_is_a_path(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    paths = [action for action in actions(make_parser()) if action.metavar not in OTHERS]
    assert {action.metavar for action in paths} == {
        "INDEX", "DESTINATION", "VECTORS", "QUERIES", "FILE", "SOURCE", "OUTPUT", "NEIGHBORS", "PLAN", "COLLECTION",
        "DIR", "COPY"
    }  # fmt: skip
    for action in paths:
        assert action.type is path, action
        assert action.type("~/x/*.npy") == "/home/ada/x/*.npy"


@pytest.mark.parametrize(
    "text", ["-", "a/", "a//b", "./~", "a~", "a/~/b", "~nobody-of-this-name/x", "*.npy", "f.h5:a/b"]
)
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert path(text) == text


def test_where_no_shell_has_seen_it(files: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(files / "home"))
    Path("home").mkdir()
    shutil.copytree("my-index", "home/i")
    shutil.copytree("parts", "home/parts")
    shutil.copy("queries.npy", "home/q.npy")
    assert main(["search", "~/i", "~/q.npy", "--out=~/found.npz"]) == 0
    assert Path("home/found.npz").exists()
    assert main(["build", "~/parts/*.npy", "~/made", "--M", "8", "--Ks", "16", "--iter", "1"]) == 0
    assert main(["backup", "~/made", "~/copy"]) == 0
    assert main(["verify", "~/copy"]) == 0
    assert not list(Path().glob("~*"))
