"""Product quantizers: vectors to codes and back, distance tables, k-means. Arrays in, arrays out."""

from pqstore.quantizer.array_like import as_real_array
from pqstore.quantizer.base import Quantizer
from pqstore.quantizer.codes import as_codes
from pqstore.quantizer.distance_table import DistanceTable, Metric
from pqstore.quantizer.opq import OPQ
from pqstore.quantizer.pq import PQ
from pqstore.quantizer.progress import Progress, TrainingStep
from pqstore.quantizer.training_set import ROWS_PER_CODEWORD
from pqstore.quantizer.vectors import as_queries, as_rows, as_vectors, unit_rows, vector_blocks

__all__ = [
    "OPQ",
    "PQ",
    "ROWS_PER_CODEWORD",
    "DistanceTable",
    "Metric",
    "Progress",
    "Quantizer",
    "TrainingStep",
    "as_codes",
    "as_queries",
    "as_real_array",
    "as_rows",
    "as_vectors",
    "unit_rows",
    "vector_blocks",
]
