"""The benchmarks of speed run: at first contact with a GPU, too, they must not fail."""

import time
from argparse import Namespace

import pytest
import torch
from typer.testing import CliRunner

from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

SENTENCES = [
    "The chef cooked the meal .",
    "It rained all day long in the town .",
    "No .",
]


@pytest.fixture(scope="module")
def benchmarks():
    """The modules by name."""
    pytest.importorskip("spacy_transformers")
    pytest.importorskip("matplotlib")
    import encoder_speed
    import from_text
    import gpu
    import growth
    import step_budget

    return Namespace(
        encoder_speed=encoder_speed,
        from_text=from_text,
        gpu=gpu,
        growth=growth,
        step_budget=step_budget,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A file of CoNLL-U with two documents."""
    lines = []
    for number, sentence in enumerate(SENTENCES * 2):
        if number % len(SENTENCES) == 0:
            lines.append(f"# newdoc id = {number}")
        lines.append(f"# text = {sentence}")
        for place, word in enumerate(sentence.split(), 1):
            lines.append("\t".join([str(place), word, *["_"] * 8]))
        lines.append("")
    file = tmp_path_factory.mktemp("corpus") / "dev.conllu"
    file.write_text("\n".join(lines), encoding="utf8")
    return file


def test_tables_for_a_gpu_are_made_by_the_same_code_on_a_cpu(benchmarks, corpus):
    options = Namespace(
        device="cpu",
        shapes="tiny",
        pretrain="small",
        rounds=1,
        limit=0,
        max_tokens=32,
        product=64,
        # So long that the loop masks something.
        length=64,
        batch_size=2,
        steps=1,
    )
    report = benchmarks.gpu.measure(corpus, options)
    rows = {part: report[part] for part in ("encoder", "pipelines", "pretraining")}
    assert {part: len(found) for part, found in rows.items()} == {
        "encoder": 2,
        "pipelines": 2,
        "pretraining": 2,
    }
    for row in [row for part in rows.values() for row in part]:
        speeds = [value for key, value in row.items() if key.endswith("per_second")]
        assert len(speeds) == 1 and speeds[0] > 0
    assert report["peak_tflops"] > 0


def test_padded_batches_hold_the_same_sequences(benchmarks):
    sequences = [torch.arange(1, n + 1) for n in (3, 9, 2, 5)]
    whole = benchmarks.gpu.packed(sequences, max_tokens=10)
    filled = benchmarks.gpu.padded(sequences, max_tokens=10)
    assert len(whole) == len(filled)
    for own, other in zip(whole, filled, strict=True):
        assert len(set(other.lengths)) == 1 and len(own.lengths) == len(other.lengths)
        pieces = other.input_ids[other.input_ids > 0]
        assert pieces.tolist() == own.input_ids.tolist()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_one_clear_message(benchmarks, corpus):
    import typer

    app = typer.Typer()
    app.command()(benchmarks.gpu.main)
    done = CliRunner().invoke(app, [str(corpus)])
    assert done.exit_code == 1
    assert "no GPU" in done.output and "Traceback" not in done.output


def test_flops_of_a_step_grow_with_the_network(benchmarks):
    from spacy_electra.models import ElectraConfig

    tiny, small = (
        benchmarks.gpu.step_flops(ElectraConfig.preset(shape), 128)
        for shape in ("tiny", "small")
    )
    # ELECTRA-small: 14 million weights, but for embeddings, and a generator of a sixth.
    assert tiny < small
    assert 6 * 9.5e6 < small < 6 * 14e6


def test_growth_measures_a_cell_and_draws_its_parts(benchmarks, corpus, tmp_path):
    growth = benchmarks.growth
    cell = growth.Cell("10", words=40, length=10, threads=torch.get_num_threads())
    texts, count = growth.texts_of(corpus, cell)
    assert count == 40 and {len(text.split()) for text in texts} == {10}
    measured = growth.run_cell(cell, corpus, 1, "cpu")
    assert measured["words_per_second"] > 0 and measured["mib"] >= 0
    rows = [{"value": "10", **measured}, {"value": "20", **measured}]
    growth.draw({part: rows for part in growth.TITLES}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(growth.table_of("lengths", rows))) == 4


def test_all_but_the_network_is_timed_and_forgets(benchmarks, corpus):
    from_text = benchmarks.from_text
    words = from_text.read_words(corpus)
    assert [len(words[kind]) for kind in ("sentences", "documents")] == [6, 2]
    made = from_text.pipelines("en_tiny")
    rtd = made["electra_rtd"]
    docs = from_text.short_docs(rtd, words["sentences"], 7)
    assert len(docs) == 7 and max(map(len, docs)) == from_text.WORDS_OF_SHORT
    clock = from_text.CLOCKS["cpu"]
    seconds = from_text.network_and_attributes(rtd.get_pipe("electra_rtd"), docs, clock)
    assert seconds["network"] > 0 and seconds["attributes"] > 0
    assert all("rtd" in doc.spans for doc in docs)
    components = {n: from_text.without_network(nlp, n) for n, nlp in made.items()}
    tokenizer = from_text.shared_tokenizer(list(components.values()))
    runs = from_text.steps(docs, tokenizer, components)
    for run in runs.values():
        run()
    chunks = tokenizer.chunks
    runs["tokenize and align, again"]()
    assert tokenizer.chunks is chunks
    runs["tokenize and align, first time"]()
    assert tokenizer.chunks is not chunks


def test_a_text_that_comes_alone_takes_its_network_and_all_else():
    pytest.importorskip("spacy_transformers")
    transformers = pytest.importorskip("transformers")
    import one_text
    from encoder_speed import electra
    from peers import Peer, Pipeline

    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve_source("en_tiny"))
    pieces = Peer(tokenizer, lambda batch: None, "fp32")
    engines = {"electra": Pipeline(electra("en_tiny", "fp32"), "fp32", pieces)}
    found = one_text.measure(engines, SENTENCES, 2, time.perf_counter)["electra"]
    parts = one_text.summed(found)
    assert set(parts) == {"whole", "network", "products", "all but the network"}
    assert all(len(part) == 2 * len(SENTENCES) for part in parts.values())
    assert all(ms > 0 for part in parts.values() for ms in part)


def test_a_step_is_divided_into_sections_and_products(
    benchmarks, tmp_path, monkeypatch
):
    step_budget = benchmarks.step_budget
    lines = []
    for number in range(40):
        for place, word in enumerate(SENTENCES[number % 2].split(), 1):
            tag = "NOUN" if place % 2 else "VERB"
            lines.append("\t".join([str(place), word, "_", tag, *"__", "0", *"___"]))
        lines.append("")
    text = "\n".join(lines) + "\n"
    (tmp_path / "en_ewt-ud-train.conllu").write_text(text, encoding="utf8")
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    source = benchmarks.encoder_speed.checkpoint(
        "small", tokenizer, tmp_path / "source"
    )
    options = Namespace(clock="cpu", batches=1, rounds=1)
    monkeypatch.setattr(step_budget, "WORDS", 60)
    found = step_budget.measure(source, tmp_path, 0, options)
    parts = ("forward pass", "backward pass", "optimizer", "the rest")
    kinds = ("products, forward", "products, for rows", "products, for weights")
    for column in found.values():
        assert sum(column[part] for part in parts) == pytest.approx(column["all"])
        assert sum(column[kind] for kind in kinds) == pytest.approx(column["products"])
        assert min(column[part] for part in (*parts, *kinds, "GELU")) > 0
    loop, ours = found[step_budget.LOOP], found[step_budget.OURS]
    assert 0 < ours["rows"] <= loop["rows"]
    assert loop["random numbers in torch"] > ours["random numbers in torch"]
    assert ours[step_budget.PRODUCTS] > 0
