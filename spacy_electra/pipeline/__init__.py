"""spaCy components, their scorers and readers."""
