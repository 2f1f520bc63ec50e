"""Files of vectors, of any size and many formats, read in blocks."""

from pqstore.interop.corpus.corpus import Corpus, Ids
from pqstore.interop.corpus.opening import ENDINGS, open_corpus

__all__ = ["ENDINGS", "Corpus", "Ids", "open_corpus"]
