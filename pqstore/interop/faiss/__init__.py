"""Faiss, both ways: quantizers, and rows of codes with their ids. `pqstore.Index` exports and imports whole indexes."""

from pqstore.interop.faiss.contents import FaissContents
from pqstore.interop.faiss.convert import faiss_to_nanopq, nanopq_to_faiss
from pqstore.interop.faiss.exporting import export_lists, export_rows
from pqstore.interop.faiss.opening import open_index
from pqstore.interop.faiss.reencoding import reencoded

__all__ = [
    "FaissContents",
    "export_lists",
    "export_rows",
    "faiss_to_nanopq",
    "nanopq_to_faiss",
    "open_index",
    "reencoded",
]
