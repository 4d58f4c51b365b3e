"""From raw text to a pretrained ELECTRA: corpus, shards, objective, trainer."""
