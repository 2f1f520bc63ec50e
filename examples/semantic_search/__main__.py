"""Semantic search over sentences, from a terminal.

python -m examples.semantic_search add --samples
python -m examples.semantic_search search "something warm from the oven"
python -m examples.semantic_search add "The kettle whistles on the stove."
python -m examples.semantic_search remove 4f1c0a9b77d2
python -m examples.semantic_search serve
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pqstore import PQStoreError

from . import embed as model
from .collection import Collection


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="semantic_search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--at", type=Path, default=Path("sentences"), help="its directory (default: sentences)")
    verbs = top.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add", help="add sentences")
    add.add_argument("sentence", nargs="*")
    add.add_argument("--file", type=Path, help="a text file with one sentence a line; - is standard input")
    add.add_argument("--samples", action="store_true", help="the sentences that come with the example")
    search = verbs.add_parser("search", help="find the nearest sentences")
    search.add_argument("text")
    search.add_argument("-k", type=int, default=5, help="how many (default 5)")
    remove = verbs.add_parser("remove", help="remove sentences by the id that search shows")
    remove.add_argument("id", nargs="+")
    serve = verbs.add_parser("serve", help="the same as a web page on this machine")
    serve.add_argument("--port", type=int, default=8000)
    return top


def sentences_of(options: argparse.Namespace) -> list[str]:
    sentences = list(options.sentence)
    if options.samples:
        sentences += model.sample_sentences()
    if options.file is not None:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
        sentences += text.splitlines()
    return sentences


def run(options: argparse.Namespace) -> int:
    with Collection(options.at) as collection:
        if options.verb == "add":
            new = collection.add(sentences_of(options))
            print(f"{new} new, {len(collection)} in all")
        elif options.verb == "search":
            hits = collection.search(options.text, options.k)
            for hit in hits:
                print(f"{hit.similarity:.2f}  {hit.id}  {hit.text}")
            return 0 if hits else 1
        elif options.verb == "remove":
            gone = collection.remove(options.id)
            for text in gone:
                print(f"removed  {text}")
            if len(gone) < len(options.id):
                print(f"{len(options.id) - len(gone)} of {len(options.id)} ids are not there", file=sys.stderr)
                return 1
        else:
            from .web import serve  # noqa: PLC0415 - the other verbs do not need Flask

            serve(collection, options.port)
    return 0


def main() -> int:
    options = parser().parse_args()
    try:
        return run(options)
    except (PQStoreError, OSError, ValueError) as error:
        print(f"semantic_search: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
