"""The brief on paper: no browser, the same bytes again, a page for a director, and nobody's markup in it."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import made_up
import pytest

from incident_kit.asked import Decision
from incident_kit.briefs import briefpage
from incident_kit.briefs.briefpdf import NUMBERS, pdf, without_font

if TYPE_CHECKING:
    from incident_kit.briefs.briefcontent import BriefContent

TEXT = shutil.which("pdftotext")
# what Typst would take as code, and letters from right to left
TYPST = '#panic("code ran") #read("/etc/hostname") *bold* $x$ @ref <label> \\ // [x] \u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631'


def content(name: str = "refund-policy") -> BriefContent:
    whole = made_up.content(name=name, zone="Europe/Berlin")
    decision = Decision(f"Adopt {name}?", "the head of support", "Friday")
    return made_up.content(name=name, zone="Europe/Berlin", decision=decision, pictures=whole.pictures[:1])


@functools.cache
def printed() -> bytes:
    return pdf(content())


def text_of(file: bytes, folder: Path) -> str:
    if TEXT is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    path = folder / "brief.pdf"
    path.write_bytes(file)
    done = subprocess.run([TEXT, "-layout", str(path), "-"], capture_output=True, check=True)
    return " ".join(done.stdout.decode().split())


def test_it_is_a_tagged_pdf_and_the_same_again() -> None:
    assert printed().startswith(b"%PDF-")
    for part in (b"/MarkInfo", b"/StructTreeRoot", b"/Lang", b"pdfuaid"):
        assert part in printed(), part
    assert b"/JavaScript" not in printed()
    assert b"/URI" not in printed()
    assert len(printed()) < 500_000
    assert pdf(content()) == printed()


def test_it_says_what_the_page_says(tmp_path: Path) -> None:
    said = text_of(printed(), tmp_path)
    order = [
        said.index(words)
        for words in (
            "Simulated data: nobody was affected.", "What is asked", "Adopt refund-policy?",
            "Asked of the head of support, by Friday.",
            "What people felt", "96 of 1,409", "usually about 11", "What would change",
            "Between 41 and 70 fewer waits over 3.5 s", "How sure this is", "Worked out from similar requests: what would change",
            "Who owns what", "How it went", "For engineers", "What these numbers rest on",
        )
    ]  # fmt: skip
    assert order == sorted(order)


def test_no_text_is_code(tmp_path: Path) -> None:
    made = pdf(content(name=f"{' '.join(made_up.NASTY)} {TYPST}"))
    assert made.startswith(b"%PDF-")
    said = text_of(made, tmp_path)
    assert '#panic("code ran")' in said
    assert "*bold* $x$ @ref" in said
    assert "onerror=alert(1)" in said
    assert "\u202e" not in said


def test_letters_that_no_font_has_are_told_by_their_numbers(tmp_path: Path) -> None:
    made = pdf(content(name="\U000f0000\U000f0001 private"))
    assert b"pdfuaid" in made, "still for people who have it read to them"
    said = text_of(made, tmp_path)
    assert "Adopt [U+F0000 F0001] private?" in said
    assert NUMBERS in said
    assert NUMBERS not in text_of(printed(), tmp_path)


@pytest.mark.parametrize("name", ["\u05d4\u05d7\u05d6\u05e8\u05d9\u05dd", "\u9000\u6b3e"], ids=["Hebrew", "Chinese"])
def test_a_name_in_another_script_is_readable_or_told_by_its_numbers(name: str, tmp_path: Path) -> None:
    """Hebrew is in fonts that most machines have, Chinese is not: either the letters are there, or their numbers."""
    missing = without_font(f"{name} and \u201cquotes\u201d")
    assert missing in (set(), set(name))
    said = text_of(pdf(content(name=name)), tmp_path)
    numbers = f"[U+{' '.join(f'{ord(one):04X}' for one in name)}]"
    assert (numbers in said) == bool(missing)
    assert any(one in said for one in (name, name[::-1])) == (not missing)


def test_a_brief_of_nothing_is_one_page(tmp_path: Path) -> None:
    path = briefpage.write(
        briefpage.BriefContent(title="Nothing", start=made_up.START, end=made_up.at(1)), tmp_path / "nothing.pdf"
    )
    assert "For engineers" not in text_of(path.read_bytes(), tmp_path)
