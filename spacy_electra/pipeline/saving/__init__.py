"""Pipelines on disk and the networks in them."""
