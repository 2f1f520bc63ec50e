"""Faiss, both ways: quantizers, and whole indexes with codes, ids and metric."""

from pqstore.interop.faiss.contents import FaissContents
from pqstore.interop.faiss.convert import faiss_to_nanopq, nanopq_to_faiss
from pqstore.interop.faiss.transfer import export_index, import_index, open_index

__all__ = ["FaissContents", "export_index", "faiss_to_nanopq", "import_index", "nanopq_to_faiss", "open_index"]
