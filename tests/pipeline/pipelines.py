"""Pipelines around `electra` that several tests build."""

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Config

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "",
    " \n ",
    "In 1905 Einstein published four papers; physicists still read them today. " * 12,
    "1234567890 " * 200,
    "x" * 300,
]
POOLING = {"@layers": "reduce_mean.v1"}
TRANSFORMER_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "upstream": "*",
    "pooling": POOLING,
}
ENCODER_LISTENER = {
    "@architectures": "spacy-electra.Tok2Vec.v1",
    "encoder": {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "*"},
    "pooling": POOLING,
}
OWN_ENCODER = {
    "@architectures": "spacy-electra.Tok2Vec.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": "en_tiny",
        "precision": "fp32",
    },
    "pooling": POOLING,
}
SHARED_ENCODER = {
    "@architectures": "spacy-electra.EncoderListener.v1",
    "upstream": "*",
}
LISTENERS = {"transformer": TRANSFORMER_LISTENER, "encoder": ENCODER_LISTENER}


def small_config(tokenizer, **changes):
    """Fields of the config of a checkpoint whose random weights tell inputs apart."""
    return {
        "vocab_size": tokenizer.vocab_size,
        "embedding_size": 32,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "summary_last_dropout": 0.0,
        "initializer_range": 0.3,
        **changes,
    }


def electra(model=None, **config):
    nlp = spacy.blank("en")
    model = {"name": "en_tiny", "precision": "fp32", **(model or {})}
    nlp.add_pipe("electra", config={"model": model, **config})
    return nlp


def add(nlp, factory, tok2vec, name=None, **changes):
    model = Config(nlp.get_factory_meta(factory).default_config["model"]).copy()
    model = {**model, "tok2vec": tok2vec, **changes}
    return nlp.add_pipe(factory, name=name or factory, config={"model": model})


def add_textcat(nlp, tok2vec):
    model = {
        "@architectures": "spacy.TextCatReduce.v1",
        "exclusive_classes": True,
        "use_reduce_first": False,
        "use_reduce_last": False,
        "use_reduce_max": False,
        "use_reduce_mean": True,
        "tok2vec": tok2vec,
    }
    return nlp.add_pipe("textcat", config={"model": model})


def example(nlp, words, cat="A"):
    doc = Doc(
        nlp.vocab,
        words=words,
        tags=["s" if word.isspace() else word[-1] for word in words],
        heads=[0] * len(words),
        deps=["ROOT", *["dep"] * (len(words) - 1)][: len(words)],
        ents=["B-X" if word[0].isupper() else "O" for word in words],
    )
    doc.cats = {"A": float(cat == "A"), "B": float(cat == "B")}
    doc.spans["sc"] = [Span(doc, 0, 1, "X")] if words else []
    return Example(Doc(nlp.vocab, words=words), doc)


def examples(nlp):
    return [
        example(nlp, ["The", "chef", "cooked", "Rice"]),
        example(nlp, ["Boats", "sank", "near", "Oslo", "yesterday"], "B"),
    ]
