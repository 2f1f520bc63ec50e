"""Faiss, both ways: quantizers, and whole indexes with codes, ids and metric."""

from pqstore.index.faiss_transfer import export_index, import_index, open_index
from pqstore.interop.faiss.contents import FaissContents
from pqstore.interop.faiss.convert import faiss_to_nanopq, nanopq_to_faiss

__all__ = ["FaissContents", "export_index", "faiss_to_nanopq", "import_index", "nanopq_to_faiss", "open_index"]
