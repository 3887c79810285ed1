"""One start of a sweep: the coordinator, what trains for it, what it delivers and shows."""
