"""Small language models that several tests build."""

import numpy as np
import torch
import transformers

from spacy_electra.models import ElectraConfig
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.vocabulary import train_vocabulary

SOUNDS = {
    "cat": "meows",
    "dog": "barks",
    "bird": "sings",
    "cow": "moos",
    "lion": "roars",
    "duck": "quacks",
}


def animal_texts(number, seed=0):
    """Sentences in which one word follows from another."""
    random = np.random.default_rng(seed)
    for animal in random.choice(list(SOUNDS), number):
        yield f"the {animal} {SOUNDS[animal]} {random.choice(['today', 'now'])} ."


def small_source(
    folder, texts, theirs_class, vocab_size=70, ties=True, noise=0.1, **changes
):
    """A checkpoint that Transformers wrote, of random weights.

    Args:
        folder: Where it goes.
        texts: For the vocabulary.
        theirs_class: Transformers' class.
        vocab_size: Number of pieces.
        ties: Whether input and output embeddings are one.
        noise: Added to all weights: biases too, so that one in the wrong place shows.
        changes: Of the config.

    Returns:
        The network, in evaluation mode.
    """
    tokenizer = train_vocabulary(texts, vocab_size=vocab_size)
    tokenizer.save_pretrained(folder)
    settings = {
        "vocab_size": tokenizer.vocab_size,
        "embedding_size": 32,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        **changes,
    }
    config = transformers.ElectraConfig(**ElectraConfig(**settings).to_dict())
    config.tie_word_embeddings = ties
    torch.manual_seed(0)
    network = theirs_class(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * noise)
    network.save_pretrained(folder)
    return network


def their_tokenizer(folder):
    return transformers.ElectraTokenizerFast.from_pretrained(folder)


def our_tokenizer(folder):
    return ElectraTokenizer.from_pretrained(folder)


def encoder(source, **settings):
    """The config of a model over an encoder of its own."""
    settings = {"window": 64, "stride": 40, "precision": "fp32", **settings}
    return {"encoder": {"source": str(source), **settings}}


LISTENER = {
    "encoder": {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "*"}
}


def add_electra(nlp, source, **config):
    model = {"name": str(source), "window": 64, "stride": 40, "precision": "fp32"}
    return nlp.add_pipe("electra", config={"model": model, **config})


def listener_model(architecture):
    return {"@architectures": f"spacy-electra.{architecture}.v1", **LISTENER}


def weights_of(model):
    """Copies of all weights of a head and its encoder, by name."""
    shims = {"encoder": model.encoder.load(), "head": model.load()}
    return {
        f"{part}.{name}": weight.detach().clone()
        for part, shim in shims.items()
        for name, weight in shim.network.named_parameters()
    }
