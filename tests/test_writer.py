"""Writes beside the computation: in order, none lost, errors told."""

import threading
import time

import pytest

from groklab.results.writer import WAITING, Writer


def test_writes_happen_in_order_and_all_of_them():
    written = []
    with Writer() as writer:
        for k in range(50):
            writer.do(lambda k=k: (time.sleep(0.0005 * (k % 3)), written.append(k)))
    assert written == list(range(50))


def test_drain_waits():
    written = []
    with Writer() as writer:
        writer.do(lambda: (time.sleep(0.05), written.append(1)))
        writer.drain()
        assert written == [1]


def test_an_error_ends_all_writing_and_is_raised():
    written = []
    with Writer() as writer:
        writer.do(lambda: 1 / 0)
        writer.do(lambda: written.append("after"))  # the error may not have happened yet
        with pytest.raises(ZeroDivisionError):
            writer.drain()
        with pytest.raises(ZeroDivisionError):
            writer.do(lambda: written.append("later"))
        assert written == []
        writer._error = None
    with pytest.raises(ZeroDivisionError), Writer() as writer:
        writer.do(lambda: 1 / 0)


def test_an_error_of_the_computation_is_not_hidden_and_loses_no_write():
    written = []

    def compute():
        with Writer() as writer:
            writer.do(lambda: written.append(1))
            raise KeyError

    with pytest.raises(KeyError):
        compute()
    assert written == [1]


def test_a_slow_disk_makes_the_computation_wait():
    gate = threading.Event()
    with Writer() as writer:
        for _ in range(WAITING + 1):
            writer.do(gate.wait)
        asked = threading.Thread(target=lambda: writer.do(lambda: None))
        asked.start()
        asked.join(0.05)
        assert asked.is_alive()
        gate.set()
        asked.join()
