"""Files of vectors, of any size and many formats, read in blocks."""

from pqstore.interop.corpus.corpus import Corpus, Ids, Payloads
from pqstore.interop.corpus.opening import ENDINGS, files_of, open_corpus
from pqstore.interop.corpus.statement import Statement
from pqstore.interop.corpus.wanted import NO_COLUMN, QUERIES, TRUTH, VECTORS, Wanted

__all__ = [
    "ENDINGS",
    "NO_COLUMN",
    "QUERIES",
    "TRUTH",
    "VECTORS",
    "Corpus",
    "Ids",
    "Payloads",
    "Statement",
    "Wanted",
    "files_of",
    "open_corpus",
]
