"""One state of an index: read it, lay changes over it, commit them."""
