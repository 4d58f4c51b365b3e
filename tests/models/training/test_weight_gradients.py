"""Threads share out what is left, once, and none waits for one that failed."""

import threading
import time

import pytest
import torch

from spacy_electra.models.training.weight_gradients import WeightGradients

SHAPES = [((4, 3), (4, 2)), ((4, 3), (4, 2)), ((4, 5),)]
JOBS = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def gradients(threads, compute):
    return WeightGradients(SHAPES, torch.float32, threads, compute)


def test_one_thread_computes_a_layer_before_it_goes_on():
    done = []
    work = gradients(1, lambda *job: done.append(job[1:3]))
    with work.thread(0):
        for layer in range(len(SHAPES)):
            work.rows(layer)
            work.passed(0)
            assert done == [job for job in JOBS if job[0] <= layer]
    assert done == JOBS


def test_memory_of_a_layer_is_used_again():
    work = gradients(1, lambda *_: None)
    with work.thread(0):
        first = [rows.data_ptr() for rows in work.rows(0)]
        work.passed(0)
        assert [rows.data_ptr() for rows in work.rows(1)] == first
        assert [rows.shape for rows in work.rows(1)] == [(4, 3), (4, 2)]
        work.passed(0)
        work.rows(2)
        work.passed(0)


def test_what_others_have_not_passed_is_left():
    done = []
    work = gradients(2, lambda *job: done.append(job[:3]))
    work.rows(0), work.rows(1)
    work.passed(0)
    work.passed(0)
    assert done == []
    # The second one is behind, and goes on before it computes anything.
    work.passed(1)
    assert done == []
    work.passed(1)
    assert done == [(1, *job) for job in JOBS[:4]]


@pytest.mark.parametrize("slow", [0, 1])
def test_the_one_ahead_does_most_and_all_is_done_once(slow):
    done, lock, both_begin = [], threading.Lock(), threading.Barrier(2)

    def compute(thread, layer, matrix, rows):
        assert rows.shape == SHAPES[layer][matrix]
        with lock:
            done.append((thread, layer, matrix))

    work = gradients(2, compute)

    def run(number):
        with work.thread(number):
            both_begin.wait(30)
            for layer in range(len(SHAPES)):
                work.rows(layer)
                if number == slow:
                    time.sleep(0.05)
                work.passed(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(job for _, *job in map(list, done)) == [list(job) for job in JOBS]
    assert sum(thread != slow for thread, *_ in done) >= len(JOBS) // 2


def test_a_thread_that_fails_is_not_waited_for():
    work = gradients(2, lambda *_: None)
    failed = threading.Event()

    def fail():
        with pytest.raises(ValueError, match="broken"), work.thread(1):
            raise ValueError("broken")
        failed.set()

    other = threading.Thread(target=fail)
    with work.thread(0):
        for layer in range(len(SHAPES)):
            work.rows(layer)
            work.passed(0)
        other.start()
    other.join(30)
    assert failed.is_set()


def test_a_thread_that_has_not_begun_is_not_waited_for():
    """Else two trainings that share a pool could wait for each other without end."""
    done = []
    work = gradients(2, lambda *job: done.append(job[:3]))
    for number in range(2):
        assert done == []
        with work.thread(number):
            for layer in range(len(SHAPES)):
                work.rows(layer)
                work.passed(number)
    assert done == [(1, *job) for job in JOBS]
