"""What several tests need: small models and corpora, a tokenizer, real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import spacy
import torch
from hypothesis import settings

from spacy_electra.models import ElectraConfig
from spacy_electra.pretraining.corpus.shards import write_shards
from spacy_electra.pretraining.settings import PretrainingSettings
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.vocabulary import train_vocabulary

RAY_TOKEN = uuid4().hex * 2
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# How long an example takes says nothing on a machine that does other work as well.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "In 1905 Einstein published four papers; physicists still read them today.",
    "It isn't easy: the river floods the valley every spring.",
    "She walked slowly down the road, thinking of her brother.",
]
SUBJECTS = ("the cat", "the dog", "a bird", "my friend", "the old man", "she")
VERBS = ("sees", "likes", "follows", "hears", "feeds", "finds")
PLACES = ("in the house", "on the hill", "near the river", "at night", "every day")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    # Workers of pytest-xdist share the cores.
    torch.set_num_threads(1)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch has, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the checkout; skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the data sets in ../shared/data, which are not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tokenizer() -> ElectraTokenizer:
    """The tokenizer of the bundled checkpoint."""
    return ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))


@pytest.fixture
def small_config() -> ElectraConfig:
    """A discriminator of two layers whose embeddings are narrower than its layers."""
    return ElectraConfig(
        vocab_size=99,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=40,
        initializer_range=0.3,
    )


@pytest.fixture
def nlp() -> spacy.Language:
    return spacy.blank("en")


def grammar_documents(number, sentences=8, seed=0):
    """Texts of a small grammar: enough to learn from in seconds."""
    random = np.random.default_rng(seed)
    for _ in range(number):
        yield " ".join(
            f"{random.choice(SUBJECTS)} {random.choice(VERBS)} "
            f"{random.choice(SUBJECTS)} {random.choice(PLACES)} ."
            for _ in range(sentences)
        )


@pytest.fixture(scope="session")
def grammar():
    """Gives any number of texts, different ones for each seed."""
    return grammar_documents


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    documents = list(grammar_documents(120))
    tokenizer = train_vocabulary(documents, vocab_size=70)
    path = tmp_path_factory.mktemp("shards")
    return write_shards(documents, tokenizer, path, held_out_every=10)


@pytest.fixture
def settings_for(settings_for_module):
    """Settings of a run of seconds; sections may be changed."""
    return settings_for_module


@pytest.fixture(scope="session")
def settings_for_module(shards):
    """The same for fixtures that live longer than a test."""

    def make(dropout=0.1, **sections):
        config = {
            "data": {"shards": str(shards.path), "length": 32, "batch_size": 8},
            "model": {
                "size": "tiny",
                "discriminator": {
                    "num_hidden_layers": 2,
                    "hidden_size": 64,
                    "embedding_size": 32,
                    "num_attention_heads": 2,
                    "intermediate_size": 64,
                    "max_position_embeddings": 64,
                    "hidden_dropout_prob": dropout,
                    "attention_probs_dropout_prob": dropout,
                },
                "generator_fraction": 0.5,
                "words": "random",
            },
            "training": {
                "max_steps": 12,
                "report_every": 4,
                "evaluate_every": 4,
                "evaluate_sequences": 16,
                "save_every": 4,
                "precision": "fp32",
            },
            "optimizer": {"name": "adamw", "warmup_steps": 2},
        }
        for name, values in sections.items():
            config[name] = {**config.get(name, {}), **values}
        return PretrainingSettings.from_dict(config)

    return make


@pytest.fixture(scope="module")
def ray_cluster():
    """A Ray cluster on this machine with room for two workers.

    Gives a function that tells their process ids.
    """
    ray = pytest.importorskip("ray", reason="needs Ray, the extra `ray`")
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc to find the workers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray would write one into the home folder; it reads it once in a process.
        patch.setenv("RAY_AUTH_TOKEN", RAY_TOKEN)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            yield ray_workers
        finally:
            ray.shutdown()


def ray_workers(name: str = "") -> set[int]:
    """Process ids of Ray's workers, of a name, that this process has started."""
    found, parents = set(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold anything: state and parent.
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents[int(folder.name)] = parent
            if (folder / "cmdline").read_bytes().startswith(f"ray::{name}".encode()):
                found.add(int(folder.name))
        except OSError:
            # It has just ended.
            continue
    own = set()
    for process in found:
        above = process
        while above and above != os.getpid():
            above = parents.get(above, 0)
        if above:
            own.add(process)
    return own
