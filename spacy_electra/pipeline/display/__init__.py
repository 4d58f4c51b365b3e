"""Scores of words, as a person sees them."""
