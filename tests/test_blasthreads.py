from __future__ import annotations

import pytest

from incident_kit.estimation import blasthreads
from incident_kit.estimation.blasthreads import one_thread


def threads() -> list[int]:
    return [get() for get, _ in blasthreads._libraries()]


@pytest.mark.skipif(not blasthreads._libraries(), reason="NumPy and SciPy bring no OpenBLAS here")
def test_one_thread_inside_and_as_many_as_before_afterwards() -> None:
    before = threads()
    for _, put in blasthreads._libraries():
        put(2)
    try:
        with one_thread():
            assert set(threads()) == {1}
            with one_thread():
                assert set(threads()) == {1}
            assert set(threads()) == {1}
        assert set(threads()) == {2}
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        assert set(threads()) == {2}
    finally:
        for (_, put), number in zip(blasthreads._libraries(), before, strict=True):
            put(number)


def test_without_an_openblas_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blasthreads, "_libraries", tuple)
    with one_thread():
        assert 1 + 1 == 2
