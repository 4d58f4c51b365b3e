"""Processes, threads and devices change nothing of what a pipeline gives."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import numpy as np
import pytest
import spacy
import torch
from pipelines import LISTENERS, TEXTS, add, electra, examples

pytest.importorskip("spacy_transformers")

RTD_LISTENER = {"encoder": {"@architectures": "spacy-electra.EncoderListener.v1"}}
THREADS = 4
SOME = [*TEXTS[:4], "The chef cooked Rice"]


def trained(**config):
    """A pipeline with every kind of listener, that has learned."""
    nlp = electra(**config)
    add(nlp, "tagger", LISTENERS["transformer"])
    add(nlp, "ner", LISTENERS["encoder"])
    model = {"model": RTD_LISTENER, "objective": "supervised"}
    nlp.add_pipe("electra_rtd", config=model)
    data = examples(nlp)
    for example in data:
        example.reference.spans["rtd"] = [example.reference[0:1]]
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    for _ in range(15):
        nlp.update(data, sgd=optimizer)
    return nlp


@pytest.fixture(scope="module")
def nlp():
    return trained()


@pytest.fixture(scope="module")
def expected(nlp):
    return list(nlp.pipe(SOME))


def without_store(nlp):
    nlp = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    nlp.get_pipe("electra").cfg["store"] = False
    return nlp


def annotations(doc):
    tags = [(token.tag_, token.ent_iob_, token.ent_type_) for token in doc]
    return tags, [token._.rtd_score for token in doc]


def assert_same(found, expected, tolerance=1e-4):
    for a, b in zip(found, expected, strict=True):
        tags, scores = annotations(a)
        assert tags == annotations(b)[0]
        np.testing.assert_allclose(scores, annotations(b)[1], atol=tolerance)


@contextmanager
def start_method(name):
    if name not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system can't {name} processes")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(name, force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(nlp, expected, method):
    assert any(doc.ents for doc in expected)
    with start_method(method):
        found = list(nlp.pipe(SOME, n_process=2, batch_size=3))
    assert_same(found, expected)
    for a, b in zip(found, expected, strict=True):
        ours, other = a._.trf_data, b._.trf_data
        np.testing.assert_allclose(ours.tensors[0], other.tensors[0], atol=1e-4)
        assert ours.wordpieces.strings == other.wordpieces.strings
        np.testing.assert_array_equal(ours.align.dataXd, other.align.dataXd)


def test_states_do_not_come_back_from_processes(nlp, expected):
    nlp = without_store(nlp)
    with start_method("fork"):
        found = list(nlp.pipe(SOME, n_process=2, batch_size=3))
    assert_same(found, expected)
    assert all(doc._.trf_data is None for doc in found)


@pytest.mark.parametrize("disabled", [[], ["ner"]])
def test_components_that_another_process_gets(nlp, expected, disabled):
    # What spawn sends: the components that run, but not the pipeline.
    nlp = without_store(nlp)
    nlp.get_pipe("electra").update(examples(nlp))
    with nlp.select_pipes(disable=disabled):
        components = pickle.loads(pickle.dumps([pipe for _, pipe in nlp.pipeline]))
    for text, other in zip(SOME, expected, strict=True):
        doc = nlp.make_doc(text)
        for component in components:
            doc = component(doc)
        # A spaCy component does not ask for the states of an empty Doc.
        assert not len(doc) or doc._.trf_data is None
        assert [t.tag_ for t in doc] == [t.tag_ for t in other]
        np.testing.assert_allclose(
            annotations(doc)[1], annotations(other)[1], atol=1e-4
        )


@pytest.mark.parametrize("store", [True, False])
def test_threads_share_a_pipeline(nlp, expected, store):
    nlp = nlp if store else without_store(nlp)
    together = Barrier(THREADS)

    def run(number):
        together.wait()
        if number % 2:
            return [nlp(text) for text in SOME]
        return list(nlp.pipe(SOME, batch_size=number + 1))

    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(run, range(THREADS)):
            assert_same(found, expected)


def test_threads_that_all_come_first():
    expected = electra()(TEXTS[0])._.trf_data.tensors[0]
    nlp = electra()
    together = Barrier(THREADS)

    def run(_):
        together.wait()
        return nlp(TEXTS[0])

    with ThreadPoolExecutor(THREADS) as pool:
        for doc in pool.map(run, range(THREADS)):
            np.testing.assert_allclose(doc._.trf_data.tensors[0], expected, atol=1e-5)


def test_a_device_may_be_chosen_at_any_time(nlp, expected):
    for choose in (spacy.require_cpu, spacy.prefer_gpu, spacy.require_cpu):
        choose()
        fresh = electra()
        choose()
        assert fresh(TEXTS[0])._.trf_data is not None
        # spaCy's own components stay where they were made.
        if not torch.cuda.is_available():
            assert_same(nlp.pipe(SOME), expected)


def test_a_gpu_that_is_not_there_is_told_and_changes_nothing(nlp, expected):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert not spacy.prefer_gpu()
    with pytest.raises(ValueError):
        spacy.require_gpu()
    assert_same(nlp.pipe(SOME), expected)


def test_network_follows_the_device():
    cupy = pytest.importorskip("cupy")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    states = electra()
    expected = states(TEXTS[0])._.trf_data.tensors[0]
    try:
        spacy.require_gpu()
        found = states(TEXTS[0])._.trf_data.tensors[0]
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_allclose(found.get(), expected, atol=1e-2)
        on_gpu = trained()
        docs = list(on_gpu.pipe(SOME))
        assert any(doc.ents for doc in docs)
    finally:
        spacy.require_cpu()
    found = states(TEXTS[0])._.trf_data.tensors[0]
    assert isinstance(found, np.ndarray)
