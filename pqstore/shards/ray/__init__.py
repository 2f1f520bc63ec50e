"""Collections on Ray: shards built as tasks, searched by actors that share them, with replicas, or in batches of a data
set. Ray is imported where it is used: `pip install 'pqstore[ray]'`.

What is built is files with manifests, never objects of the store: who owns an object may die. Tasks may run twice, and
actors restart, at any moment: building is idempotent, and all that an actor knows is a path.
"""

from pqstore.shards.ray.building import build
from pqstore.shards.ray.search_batch import SearchBatch
from pqstore.shards.ray.searcher import Searcher

__all__ = ["SearchBatch", "Searcher", "build"]
