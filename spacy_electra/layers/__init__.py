"""Thinc layers: the encoder and its heads over lists of Docs."""
