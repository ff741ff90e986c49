"""Where rows come from: a file a kind of source. Each gives typed batches in the source's own order, in bounded memory, and changes nothing."""
