"""The commands of `python -m spacy electra`, one file each."""
