"""What a store of sentences lives through, whatever framework it is written in.

    python -m examples.answers.with_langchain [DIRECTORY] [--documents 10000] [--ask QUESTION]

First sentence, as many as make the index train itself, a restart, filters, deletes, a process that is killed while it
adds, and a look at everything. `with_haystack`, `with_llama_index` and `with_txtai` take the same arguments.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from examples.semantic_search.embed import sample_sentences

__all__ = ["Answer", "Answers", "main", "sentences"]

KETTLE = "The kettle whistles on the stove."
QUESTION = "What makes a noise in the kitchen?"
BATCH = 500


class Answer(NamedTuple):
    """A sentence that was found; more is nearer."""

    id: str
    text: str
    score: float


class Answers(Protocol):
    """The application, as each framework has it. Ids are ``s0``, ``s1``, ...; sentence n has {"page": n}."""

    def add(self, texts: list[str], first: int) -> None:
        """Store sentences, numbered from `first`; when it returns, a kill does not undo it."""

    def ask(self, question: str, k: int = 3, pages_below: int | None = None) -> list[Answer]:
        """The k sentences nearest to a question; only of some pages."""

    def forget(self, ids: list[str]) -> None:
        """Remove sentences; those that are not there are passed over."""

    def forget_pages_below(self, page: int) -> None:
        """Remove sentences by a filter."""

    def has(self, ids: list[str]) -> list[bool]:
        """Whether each sentence is there."""

    def __len__(self) -> int:
        """How many sentences there are."""

    @property
    def state(self) -> str:
        """Of what kind searches are: "exact", or by "codes"."""

    def close(self) -> None:
        """Let go of the store."""


Opened = Callable[[str, int], Answers]  # of a directory, and the number of documents at which a new index trains itself


def sentences(count: int, first: int = 0) -> list[str]:
    """Sentences number `first` and on: those that come with the examples, then pairs of them."""
    samples = sample_sentences()
    n = len(samples)
    return [
        samples[at] if at < n else f"{samples[at % n]} {samples[(at + at // n) % n]}"
        for at in range(first, first + count)
    ]


def main(opened: Opened, module: str, arguments: list[str] | None = None) -> None:
    """The command line of an application."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="Questions answered from sentences.")
    parser.add_argument("directory", nargs="?", help="where the store is, or comes; a temporary one unless given")
    parser.add_argument("--documents", type=int, default=10_000, help="how many sentences it grows to; 10000")
    parser.add_argument("--ask", metavar="QUESTION", help="ask the store that is there, and end")
    parser.add_argument("--go-on-from", type=int, metavar="N", help="add sentences from number N on until killed")
    given = parser.parse_args(arguments)
    if given.ask and not given.directory:
        parser.error("--ask needs the directory of a store")
    if given.documents < 300:
        parser.error("--documents must be at least 300: an index trains itself on some hundred vectors")
    if given.directory and (given.ask or given.go_on_from is not None):
        with closing(opened(str(Path(given.directory) / "store"), given.documents)) as answers:
            if given.ask:
                show(answers.ask(given.ask))
            else:
                go_on(answers, given.go_on_from)
        return
    directory = given.directory or tempfile.mkdtemp(prefix="pqstore-answers-")
    try:
        live(opened, module, Path(directory), given.documents)
    finally:
        if not given.directory:
            shutil.rmtree(directory, ignore_errors=True)


def live(opened: Opened, module: str, directory: Path, documents: int) -> None:
    """All that a store lives through; what must be so is looked at with `expect`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = str(directory / "store")
    if Path(path).exists():
        raise SystemExit(f"there is a store in {directory} already: ask it, with --ask, or give another directory")
    train_at = documents - 40
    with closing(opened(path, train_at)) as answers:
        grow(answers, documents)

    command = [sys.executable, "-m", module, str(directory)]
    done = subprocess.run([*command, "--ask", QUESTION], capture_output=True, text=True, check=True)
    print(f"restart   {done.stdout.splitlines()[0]}")
    expect(KETTLE in done.stdout, "another process finds what this one has stored")

    with closing(opened(path, train_at)) as answers:
        early = answers.ask(QUESTION, 5, pages_below=100)
        expect(len(early) == 5 and all(int(one.id[1:]) < 100 for one in early), "a filter says what may be found")
        answers.forget([f"s{documents}", "nobody"])
        answers.forget_pages_below(50)
        expect(len(answers) == documents - 50, "what was deleted is gone")
        print(f"deleted   {len(answers):,} sentences are left; now: {answers.ask(QUESTION, 1)[0].text}")

    acknowledged = killed([*command, "--go-on-from", str(documents)], after=3)
    with closing(opened(path, train_at)) as answers:
        expect(all(answers.has(acknowledged)), "what was acknowledged before the kill is there")
        print(f"killed    {len(acknowledged)} sentences were acknowledged, and are there")
        answers.add([KETTLE], documents)
        expect(answers.ask(QUESTION, 1)[0].text == KETTLE, "the store goes on")


def grow(answers: Answers, documents: int) -> None:
    """From the first sentence to as many as make the index train itself."""
    answers.add([KETTLE], documents)
    print(f"first     {answers.state}: {answers.ask(QUESTION, 1)[0].text}")
    began = time.perf_counter()
    for first in range(0, documents, BATCH):
        answers.add(sentences(min(BATCH, documents - first), first), first)
    print(f"grown     {len(answers):,} sentences in {time.perf_counter() - began:.1f} s; searches by {answers.state}")
    expect(answers.state == "codes", "the index has trained itself")
    expect(answers.ask(QUESTION, 1)[0].text == KETTLE, "the kettle is found by codes too")


def go_on(answers: Answers, first: int) -> None:
    """Add sentences, and say of which it is known that they are stored, until the process is killed."""
    while True:
        answers.add(sentences(5, first), first)
        print(*(f"s{number}" for number in range(first, first + 5)), flush=True)
        first += 5


def killed(command: list[str], after: int) -> list[str]:
    """The ids that a process acknowledged before it was killed, some moment after so many lines."""
    acknowledged: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged += line.split()
            after -= 1
            if after == 0:
                child.kill()
    return acknowledged


def expect(is_so: bool, what: str) -> None:
    """Ends the program where something is not so."""
    if not is_so:
        raise SystemExit(f"not so: {what}")


def show(found: list[Answer]) -> None:
    for answer in found:
        print(f"{answer.score:.3f}  {answer.text}")
