"""The brief as a mail and as Markdown: the same words, pictures inside, no markup of a log's own."""

from __future__ import annotations

import functools
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING

import made_up
import pytest

from incident_kit.briefs import briefpage
from incident_kit.briefs.briefmail import mail, markdown
from incident_kit.errors import UnwritableFile

if TYPE_CHECKING:
    from email.message import EmailMessage


@functools.cache
def sent() -> bytes:
    return mail(made_up.content(zone="Europe/Berlin"))


def parsed(message: bytes) -> EmailMessage:
    return message_from_bytes(message, policy=policy.default)


def test_a_mail_has_text_html_and_its_pictures_inside() -> None:
    message = parsed(sent())
    assert message["Subject"] == "Brown-out: refund-policy"
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert "WHAT IS ASKED\nAdopt the rules “refund-policy”" in text
    assert "Between 41 and 70 fewer waits over 3.5 s" in text
    (picture,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert picture.get_content().startswith(b"\x89PNG")
    html = message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in html
    assert "http" not in html
    assert "<script" not in html


def test_a_mail_is_a_draft_without_defects_from_nobody_to_nobody_at_the_end_of_what_it_tells() -> None:
    message = parsed(sent())
    assert [defect for part in message.walk() for defect in part.defects] == []
    headers = {name: message[name] for name in ("From", "To", "Date")}
    assert not any(header.defects for header in headers.values())
    (sender,) = headers["From"].addresses
    assert (sender.display_name, sender.domain) == ("Draft of a brief", "brief.invalid")
    assert headers["To"].addresses == ()
    assert message["X-Unsent"] == "1"
    content = made_up.content(zone="Europe/Berlin")
    assert headers["Date"].datetime == content.end.replace(microsecond=0)
    assert headers["Date"].datetime.tzinfo is not None


def test_the_same_brief_is_the_same_mail() -> None:
    assert mail(made_up.content(zone="Europe/Berlin")) == sent()


@pytest.mark.parametrize("name", [" ".join(made_up.NASTY), "a\r\nBcc: all@example.org"])
def test_hostile_names_are_words_in_a_mail(name: str) -> None:
    message = parsed(mail(made_up.content(name=name, pictures=())))
    headers = {"From", "To", "Date", "Subject", "X-Unsent", "MIME-Version", "Content-Type"}
    assert set(message.keys()) == headers
    html = message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<img" not in html
    assert "\u202e" not in html + message.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_markdown_says_the_same_and_takes_no_markup_from_a_log() -> None:
    plain = markdown(made_up.content(zone="Europe/Berlin"))
    assert plain.startswith("# Brown-out: refund-policy\n")
    assert "**Adopt the rules “refund-policy” for refund policy and chat questions?**" in plain
    assert "| People" not in plain
    assert "| slow answers (over 3.5 s) | 96 of 1,409 | usually about 11 |" in plain
    assert "waited over 2.2 s at 13:26 UTC" in plain, "the chart is told"
    nasty = markdown(made_up.content(name=" ".join([*made_up.NASTY, "[x](http://e.example)", "a|b"]), pictures=()))
    assert "<img" not in nasty.replace("\\<img", "")
    assert "](" not in nasty.replace("\\](", "")
    assert all(line.replace("\\|", "").count("|") in {0, 3, 4} for line in nasty.splitlines())


def test_the_name_of_the_file_says_the_form(tmp_path: Path) -> None:
    content = made_up.content(pictures=())
    assert briefpage.write(content, tmp_path / "brief.md").read_text(encoding="utf-8").startswith("# ")
    assert briefpage.write(content, tmp_path / "brief.EML").read_bytes().startswith(b"From: Draft ")
    with pytest.raises(UnwritableFile, match=r"brief\.docx.*\.html, \.pdf, \.md, \.eml"):
        briefpage.write(content, tmp_path / "brief.docx")


def test_every_chart_is_saved_as_svg_and_png(tmp_path: Path) -> None:
    content = made_up.content()
    files = briefpage.save_pictures(
        made_up.content(pictures=[one for one in content.pictures if one.id in {"over-time", "states"}]),
        tmp_path / "new",
    )
    assert [file.name for file in files] == ["over-time.svg", "over-time.png", "states.svg", "states.png"]
    assert files[0].read_text(encoding="utf-8").startswith("<svg")
    assert files[1].read_bytes().startswith(b"\x89PNG")
