"""Passes side by side give what passes one after the other give, and change nothing."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from spacy_electra.layers.encoder import Encoder
from spacy_electra.models import streams
from spacy_electra.models.sharing import cut_evenly
from spacy_electra.models.streams import (
    FEWEST_ROWS,
    on_all_threads,
    on_one_thread,
    passes_for_streams,
    run_in_streams,
    thread_count,
)

WORDS = [
    "In",
    "1905",
    "Einstein",
    "published",
    "four",
    "papers",
    ";",
    "physicists",
    "still",
    "read",
    "them",
    ".",
]


@pytest.fixture
def two_threads(threads):
    threads(2)


def test_what_stands_between_streams_takes_one_thread(two_threads):
    def counts():
        return torch.get_num_threads(), thread_count(), in_thread(torch.get_num_threads)

    assert counts() == (2, 2, 2)
    with on_one_thread():
        assert counts() == (1, 2, 2)
        with on_all_threads():
            assert counts() == (2, 2, 2)
            with on_one_thread():
                assert counts() == (1, 2, 2)
        # Streams have all threads, and leave this one as it was.
        together = Barrier(2)
        assert run_in_streams(lambda _: together.wait(timeout=60) < 2, range(2))
        assert counts() == (1, 2, 2)
    assert counts() == (2, 2, 2)
    with pytest.raises(ZeroDivisionError), on_one_thread():
        raise ZeroDivisionError
    assert counts() == (2, 2, 2)


@pytest.fixture
def docs(nlp):
    return [nlp.make_doc(" ".join(WORDS * n)) for n in range(1, 20)]


def in_thread(run):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_states_are_the_same_with_streams(docs, two_threads, monkeypatch):
    model = Encoder(precision="fp32")
    found = model.predict(docs)
    assert streams._pool.cache_info().currsize
    monkeypatch.setattr(streams, "FEWEST_ROWS", 10**9)
    alone = model.predict(docs)
    np.testing.assert_allclose(found.states, alone.states, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.cls_states, alone.cls_states, atol=1e-5)


def test_passes_run_at_one_time_with_one_thread_each(two_threads):
    together = Barrier(2)

    def compute(item):
        together.wait(timeout=60)
        return item, torch.get_num_threads()

    assert run_in_streams(compute, [1, 2, 3, 4]) == [(n, 1) for n in (1, 2, 3, 4)]


def test_the_number_of_threads_stays(two_threads):
    streams._pool.cache_clear()
    run_in_streams(str, [1, 2])
    assert torch.get_num_threads() == 2
    assert in_thread(torch.get_num_threads) == 2


def test_another_number_of_threads_counts_from_then_on(two_threads):
    run_in_streams(str, [1, 2])
    torch.set_num_threads(3)
    together = Barrier(3)
    assert run_in_streams(lambda _: together.wait(timeout=60) < 3, range(3))


def test_threads_of_the_user_share_the_streams(docs, two_threads):
    model = Encoder(precision="fp32")
    expected = model.predict(docs).states
    with ThreadPoolExecutor(4) as pool:
        for states in pool.map(lambda _: model.predict(docs).states, range(8)):
            np.testing.assert_allclose(states, expected, atol=1e-5)


def test_an_error_in_a_stream_is_that_of_the_call(two_threads):
    with pytest.raises(ZeroDivisionError):
        run_in_streams(lambda n: 1 / n, [1, 0])
    assert run_in_streams(str, [1]) == ["1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_forked_process_starts_streams_of_its_own(two_threads):
    run_in_streams(str, [1, 2])
    child = os.fork()
    if not child:
        torch.set_num_threads(2)
        os._exit(0 if run_in_streams(str, [1, 2]) == ["1", "2"] else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_passes_at_one_time_have_no_more_rows_than_was_said(two_threads):
    lengths = [10] * 40 + [128] * 60
    for most_rows in (800, 1000, 4096):
        parts = passes_for_streams(lengths, most_rows)
        assert parts % 2 == 0
        groups = cut_evenly(lengths, parts)
        assert max(sum(lengths[n] for n in g) for g in groups) <= most_rows / 2


def test_few_rows_or_one_thread_are_no_streams(two_threads):
    assert passes_for_streams([128] * 3, 4096) is None
    assert passes_for_streams([], 4096) is None
    assert passes_for_streams([128] * 100, FEWEST_ROWS) is None
    torch.set_num_threads(1)
    assert passes_for_streams([128] * 100, 4096) is None
