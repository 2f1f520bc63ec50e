"""The NumPy kernels: the definition of correct that every compiled kernel is held to, and the fallback without one."""

from pqstore.kernels.reference.assignment import encode, lloyd_step
from pqstore.kernels.reference.exact_scanning import exact_scan
from pqstore.kernels.reference.labelling import scan_labels
from pqstore.kernels.reference.relabelling import relabel
from pqstore.kernels.reference.scanning import scan
from pqstore.kernels.reference.tables import adist, dtables

__all__ = ["adist", "dtables", "encode", "exact_scan", "lloyd_step", "relabel", "scan", "scan_labels"]
