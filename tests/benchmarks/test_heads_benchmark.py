"""The benchmark of heads: both sides learn the same, and finished runs are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import srsly
import torch
from spacy.tokens import Doc
from spacy.training import Example

from spacy_electra.models import ElectraConfig, ElectraForMaskedLM
from spacy_electra.tokenization import ElectraTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, "the", "cat", "dog", "bird", "see", "##s", "on", "hill", ".", "?"]
SENTENCES = ["the cat sees the dog .", "the bird sees .", "the dog on the hill ."] * 2


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small network without dropout."""
    folder = tmp_path_factory.mktemp("source")
    config = ElectraConfig(
        vocab_size=len(PIECES),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        summary_last_dropout=0.0,
    )
    # Scores of so few examples turn on roundings with some weights.
    torch.manual_seed(1)
    ElectraForMaskedLM(config).save_pretrained(folder)
    numbers = {piece: number for number, piece in enumerate(PIECES)}
    ElectraTokenizer(numbers).save_pretrained(folder)
    return folder


def examples_of(name, nlp):
    """Some examples of what a task reads."""
    import heads_data

    if name.startswith("squad"):
        qas = [
            {"question": "who ?", "answers": [{"text": "the cat", "answer_start": 0}]},
            {
                "question": "who sees ?",
                "is_impossible": name == "squad2",
                "answers": [],
            },
        ]
        contexts = [
            {"context": SENTENCES[0], "qas": qas[:1] if name == "squad1" else qas}
        ]
        return heads_data.read_back(nlp, {"data": [{"paragraphs": contexts * 2}]})
    examples = []
    for number, text in enumerate(SENTENCES):
        words = text.split()
        doc = Doc(nlp.vocab, words=words)
        if name == "mctest":
            doc._.choices, doc._.question = ["the cat", "the bird", "dog"], "who ?"
        elif name.startswith("sick"):
            doc._.text_pair = "the dog ."
        reference = doc.copy()
        if name == "mctest":
            reference._.choice = number % 3
        elif name in ("cooking", "sick_entailment"):
            reference.cats = {"a": float(number % 2), "b": float(number % 2 == 0)}
        elif name == "sick_relatedness":
            reference.cats = {"relatedness": number / 6}
        elif name == "wnut17":
            tags = ["O", "B-animal", *["O"] * (len(words) - 2)]
            reference = Doc(nlp.vocab, words=words, ents=tags)
        elif name == "realec":
            for token in reference:
                token._.electra_label = "i" if token.text == "dog" else "c"
        elif name == "realec_spans":
            reference.spans["rtd"] = [reference[1:2]]
        examples.append(Example(doc, reference))
    return examples


@pytest.fixture
def run(source, monkeypatch):
    """A run of two updates of a task, on examples of this file."""
    from heads_runs import one_run
    from heads_tasks import TASKS, Size

    def run(name, seed=0):
        def read(nlp, data, split, limit):
            return examples_of(name, nlp)

        monkeypatch.setitem(TASKS, name, replace(TASKS[name], read=read))
        return one_run(Path(), source, {"task": name}, seed, Size(2, 4))

    return run


SAME_LOSS = [
    *("sick_entailment", "sick_relatedness", "cooking", "wnut17", "realec"),
    *("mctest", "ewt_causal"),
]
# Masks are random, windows of contexts are other ones, and a word of several pieces has
# one label here and several there.
OTHER_LOSS = ["realec_spans", "squad1", "squad2", "ewt_masked"]


@pytest.mark.parametrize("name", SAME_LOSS)
def test_both_sides_learn_the_same(name, run):
    figures = run(name)
    ours, theirs = (
        figures["last_loss"]["component"],
        figures["last_loss"]["Transformers"],
    )
    assert ours == pytest.approx(theirs, rel=1e-3)
    # The first of its scores; others are ranks, which a rounding may change.
    of_ours, of_theirs = (
        next(iter(figures["scores"][side].values()))
        for side in ("component", "Transformers")
    )
    assert of_ours == pytest.approx(of_theirs, rel=1e-2, abs=2e-2)


@pytest.mark.parametrize("name", OTHER_LOSS)
def test_both_sides_learn_and_are_scored(name, run):
    figures = run(name)
    assert all(loss > 0 for loss in figures["last_loss"].values())
    for scores in figures["scores"].values():
        assert all(value >= 0 for value in scores.values())
    assert all(seconds > 0 for seconds in figures["step_seconds"].values())


def test_all_tasks_are_tested():
    from heads_tasks import TASKS

    assert {name for name, task in TASKS.items() if task.same_loss} == set(SAME_LOSS)
    assert set(TASKS) - set(SAME_LOSS) == set(OTHER_LOSS)


def test_a_component_drops_what_the_loop_drops(source, tmp_path):
    import heads_dropout
    from heads_tasks import TASKS
    from thinc.api import fix_random_seed

    def read(nlp, data, split, limit):
        return examples_of("sick_relatedness", nlp)

    task = replace(TASKS["sick_relatedness"], read=read)
    ours, theirs, examples = heads_dropout.both_sides(
        task, source, 0.2, tmp_path, Path(), 6
    )
    fix_random_seed(0)
    figures = heads_dropout.compare_gradients(ours, theirs, examples, masks=60)
    assert figures["weights"] > 5000
    assert figures["rms_z"] < 1.25
    assert 0.85 < figures["noise_ratio"] < 1.18
    differences = figures["loss component"] - figures["loss Transformers"]
    assert abs(differences) < 4 * figures["loss_error"]


def test_finished_runs_count_only_with_the_same_settings(tmp_path):
    import heads

    settings, size = heads.settings_of("small", "en_tiny", "wnut17")
    assert settings["steps"] == size.steps
    assert heads.finished(tmp_path, settings, 0) is None
    file = heads.run_file(tmp_path, settings, 0)
    file.parent.mkdir(parents=True)
    srsly.write_json(file, {**settings, "scores": {}})
    assert heads.finished(tmp_path, settings, 0) is not None
    assert heads.finished(tmp_path, settings, 1) is None
    assert heads.finished(tmp_path, {**settings, "steps": 7}, 0) is None


def test_table_has_means_ranges_and_the_largest_difference():
    import heads

    runs = [
        {"component": {"f": 0.5}, "Transformers": {"f": 0.4}},
        {"component": {"f": 0.3}, "Transformers": {"f": 0.6}},
    ]
    assert heads.cells(runs, "f", 100.0, 1) == [
        *("2", "50.0 (40.0–60.0)", "40.0 (30.0–50.0)", "-30.00", "yes")
    ]
    assert heads.overlap([0.1, 0.2], [0.3, 0.4]) == "no"


def test_articles_of_train_and_test_are_disjoint():
    import heads_data

    articles = list(range(48))
    train, test = (heads_data.articles_of(articles, s) for s in ("train", "test"))
    assert (len(train), len(test)) == (34, 7)
    assert not set(train) & set(test)


def test_batches_take_each_example_once_an_epoch():
    from heads_runs import batches

    chosen = list(batches(10, 4, 5, seed=3))
    numbers = [number for batch in chosen for number in batch]
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert chosen == list(batches(10, 4, 5, seed=3)) != list(batches(10, 4, 5, seed=4))


def test_learning_rate_rises_and_falls():
    from heads_runs import learn_rate
    from heads_tasks import Size

    size = Size(steps=20, test=1, learn_rate=1e-3)
    rates = [learn_rate(step, size) / size.learn_rate for step in range(20)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 18)


def test_spans_of_tags():
    from heads_loop import spans_of

    tags = ["B-a", "I-a", "O", "I-b", "B-b", "I-a"]
    assert spans_of(tags) == [(0, 2, "a"), (3, 4, "b"), (4, 5, "b"), (5, 6, "a")]
