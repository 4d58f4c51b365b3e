"""Scorers of components, as spaCy calls them."""
