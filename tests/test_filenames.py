from __future__ import annotations

from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import reserved

from incident_kit.outfiles.filenames import distinct, filename


@given(st.text() | st.sampled_from(["con", "NUL", "aux.txt", "com1", "LPT9", "a. ", "..", "a:b", "x" * 400]))
def test_a_name_is_one_on_every_system(text: str) -> None:
    name = filename(text, otherwise="x")
    assert not reserved(name)
    assert PureWindowsPath(name).name == name
    assert 1 <= len(name) <= 61


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "lpt9"])
def test_a_device_is_no_folder(name: str) -> None:
    assert reserved(name)
    assert not reserved(filename(name, otherwise="x"))


@given(st.lists(st.sampled_from(["a", "A", "a.yaml", "A.yaml", "a-2.yaml", "b"])))
def test_names_that_differ_in_capitals_only_are_kept_apart(names: list[str]) -> None:
    found = distinct(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert found[:1] == names[:1]
    if len({name.casefold() for name in names}) == len(names):
        assert found == names
