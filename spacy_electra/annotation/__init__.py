"""A pipeline over files of any size: rows in, shards of annotated rows out."""
