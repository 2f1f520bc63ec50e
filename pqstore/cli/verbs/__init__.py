"""The verbs of the command: each parses, makes one public call, and prints."""

__all__ = ["SUMMARIES"]

# What each does, as the first line of its file says it, in the order of `pqstore --help`: for that none is loaded.
SUMMARIES = {
    "create": "Make an empty index that trains itself once it has enough vectors; until then its searches are exact.",
    "build": "Train a quantizer and build an index from files of vectors.",
    "add": "Add vectors from files to an index, in one transaction.",
    "remove": "Remove vectors from an index by id or by a filter, in one transaction.",
    "expire": "Remove the vectors that have expired, or say by which field of their payloads they do.",
    "search": "Search an index for the nearest vectors of each query.",
    "get": "Look at records by id: a line of JSON for each.",
    "dump": "Print all records of an index, or those a filter finds: a line of JSON each, number ids ascending.",
    "count": "Count the vectors of an index, or those that a filter finds.",
    "values": "List the values of a payload field, ascending, and how many vectors have each: a line of JSON for each.",
    "sets": "List the saved sets of ids of an index, or save, show or drop one.",
    "partition": "Divide an index into inverted lists, so that searches read the nearest of them, not every code.",
    "calibrate": "Find how much a search must read for a recall, and keep that with the index.",
    "train": "Train an index that has no codes yet on its own vectors, and encode all of them.",
    "retrain": "Train a quantizer anew on the vectors that an index keeps, and encode all of them.",
    "shards": "Build and search a collection of many indexes, on one machine or on many.",
    "info": "Show what an index holds, and which kernels search it.",
    "verify": "Check an index; exit status 1 when something is wrong with it.",
    "compact": "Give the disk back what removed vectors took, beside readers and other handles.",
    "backup": "Copy the newest state of an index to a new one, compacted, while others read and write.",
    "repair": "Save what is sound of a damaged index into a new one; exit status 1 when something was lost.",
    "export": "Write an index for other programs: as a Faiss index file, or as plain arrays.",
    "import": "Make an index from a Faiss index file, plain arrays of codes, or a nanopq pickle.",
    "recall": "Measure recall against exact search, of an index and of other sizes and kinds of codes.",
    "bench": "Time an index on this machine: searches one by one and in a batch, on one thread and on all, and adding.",
    "completion": "Print what makes a shell complete pqstore's verbs, options and files.",
}
