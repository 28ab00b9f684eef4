"""Where a kind of node has what: the spec that a node of each layout starts with."""
