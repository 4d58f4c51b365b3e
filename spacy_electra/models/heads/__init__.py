"""The heads: one file each, on top of the same encoder."""
