"""The corpus on disk: files of text, tokenized shards, batches."""
