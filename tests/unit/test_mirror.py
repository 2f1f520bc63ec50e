"""Tests mirror the package: tests/unit/a/b/test_c.py tests pqstore/a/b/c.py, or keeps a promise that spans files."""

from __future__ import annotations

from pathlib import Path

import pytest

UNIT = Path(__file__).parent
PACKAGE = UNIT.parents[1] / "pqstore"

# What no single file of the package keeps.
PROMISES = {
    "test_architecture.py": "the floors of the house",
    "test_mirror.py": "this",
    "test_documentation.py": "pages say what is so",
    "test_examples.py": "examples do what their pages say",
    "test_typing.py": "the documents' Python type-checks, and calls that cannot be meant do not",
    "test_public_names.py": "the public names are seen by type checkers, and load nothing that few ask for",
    "cli/test_bad_input.py": "one line that names what is wrong, status 2, nothing half-made",
    "cli/test_examples.py": "the examples in the help of every verb run",
    "cli/test_sizes.py": "sizes that are printed count the files of originals",
    "index/arguments/test_ids_of_other_libraries.py": "calls take ids of all libraries, and no set where order counts",
    "interop/corpus/test_damage.py": "damaged bytes of compressed files are our error in every format",
    "index/test_bad_arguments.py": "arguments that cannot be meant are refused, and nothing is lost",
    "index/test_first_steps.py": "what people type first and mix up is told apart, and nothing is lost",
    "index/test_saved_sets.py": "sets of ids, from the call that saves them to the searches that name them",
    "kernels/test_compiled_checks.py": "no argument makes the compiled module reach outside an array",
    "shards/test_ray_nodes.py": "a node of a cluster may go at any time",
    "storage/test_compiled_loops.py": "no argument makes the compiled loops reach outside an array",
    "storage/test_against_a_dict.py": "random changes and reopenings against a dict",
    "storage/test_directory_there.py": "a new index fills an empty directory that is there, a mount point too",
    "storage/test_growing_maps.py": "maps get larger with their files, beside readers and other processes",
    "storage/test_many_processes.py": "threads and processes on one index",
}

TESTS = sorted(str(path.relative_to(UNIT)) for path in UNIT.rglob("test_*.py"))


def subjects_of(test: str) -> list[Path]:
    """What a test of this name may test: a file, or a folder as a whole."""
    path = Path(test)
    tested = PACKAGE / path.parent / path.name.removeprefix("test_")
    return [tested, tested.with_name(f"{tested.stem}_.py"), tested.with_suffix("")]


@pytest.mark.parametrize("test", TESTS)
def test_every_test_names_a_file_or_a_promise(test: str) -> None:
    if test not in PROMISES:
        names = [str(path.relative_to(PACKAGE.parent)) for path in subjects_of(test)]
        assert any(path.exists() for path in subjects_of(test)), f"tests/unit/{test} stands for none of {names}"


@pytest.mark.parametrize("test", PROMISES)
def test_every_promise_is_kept(test: str) -> None:
    assert test in TESTS
