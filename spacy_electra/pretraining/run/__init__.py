"""A run: the loop, its checkpoints, log and processes."""
