"""The front of a brief for mail and for Markdown: the same words, pictures inside the message."""

from __future__ import annotations

import hashlib
import re
from email.message import EmailMessage
from email.policy import SMTP

from incident_kit import pageparts, words
from incident_kit.briefs.briefcontent import BriefContent
from incident_kit.briefs.brieffront import Count
from incident_kit.briefs.brieftable import TICKET_COLUMNS, TICKETS, ticket_rows
from incident_kit.charts import offline, theme

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|&~$])")  # without an escaped ] no round bracket or ! means anything
_START = re.compile(r"^(\s*)([-+]|\d+[.)])(?=\s)")
LONGEST_SUBJECT = 120
DRAFTED = "Draft of a brief <draft@brief.invalid>"  # a message has a sender; nobody's address ends so (RFC 2606)


def markdown(content: BriefContent) -> str:
    """Return the front of a brief as Markdown; text of a log is escaped, and a chart is told in words."""
    front = content.front
    lines = [f"# {_plain(content.title)}", "", _plain(content.when)]
    if content.is_simulated:
        lines += ["", "**Simulated data: nobody was affected.**"]
    lines += ["", "## What is asked", "", f"**{_plain(front.decision)}**"]
    lines += ["", _plain(front.whom)] if front.whom else []
    lines += ["", "## What people felt", "", *(_plain(line) for line in front.felt)]
    if front.counts:
        lines += ["", "| what | count | beside |", "|---|---|---|"]
        lines += [f"| {_plain(one.label)} | {_count(one)} | {one.usual} |" for one in front.counts]
    if front.rules:
        lines += ["", "## What would change", "", _plain(front.rules), ""]
        lines += [f"- {_plain(line)}" for line in front.gains]
        lines += ["", "| what becomes of it | kind of question |", "|---|---|"]
        lines += [f"| {_plain(fate)} | {_plain(kinds)} |" for fate, kinds in front.changes]
    lines += ["", "## How sure this is", ""]
    lines += [f"- **{words.sentence(phrase)}**: {_plain(of)}" for phrase, of in front.sure]
    lines += ["", "## Who owns what", "", *(f"- {_plain(owner)}" for owner in front.owners)]
    for picture in content.pictures:
        if not picture.for_engineers:
            said = picture.draw(width=theme.WIDTH).to_dict(validate=False).get("description", "")
            lines += ["", f"## {_plain(picture.heading)}", "", _plain(str(said))]
    if content.tickets is not None:
        lines += ["", f"## {TICKETS}", "", f"| {' | '.join(TICKET_COLUMNS)} |", "|---" * len(TICKET_COLUMNS) + "|"]
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in ticket_rows(content.tickets)]
    return "\n".join(lines) + "\n"


def mail(content: BriefContent) -> bytes:
    """Return the front of a brief as a message (RFC 5322): plain text, and HTML with its pictures inside.

    It is a draft: whoever opens it sends it, to whom they choose, and its date is the end of what it tells of. Nothing in it is
    fetched from anywhere; the same brief gives the same bytes.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = DRAFTED
    message["To"] = ""
    message["Date"] = content.end
    message["Subject"] = words.label(content.title, longest=LONGEST_SUBJECT)
    message["X-Unsent"] = "1"  # mail programs open it as a draft
    message.set_content(_text(content))
    pictures = {one.id: one for one in content.pictures if not one.for_engineers}
    cids = {key: f"{hashlib.sha256(key.encode()).hexdigest()[:16]}@brief" for key in pictures}
    drawn = {key: one.draw(width=theme.WIDTH) for key, one in pictures.items()}
    shown = [
        (cids[key], one.heading, drawn[key].to_dict(validate=False).get("description", one.heading))
        for key, one in pictures.items()
    ]
    html = pageparts.rendered(
        "brief_mail.html.j2",
        content=content,
        front=content.front,
        when=content.when,
        pictures=shown,
        words=words,
        tickets=None if content.tickets is None else (TICKETS, TICKET_COLUMNS, ticket_rows(content.tickets)),
    )
    message.add_alternative(html, subtype="html")
    body = message.get_payload()[-1]  # type: ignore[index]
    for key in pictures:
        picture = offline.png(drawn[key])
        body.add_related(picture, "image", "png", cid=f"<{cids[key]}>", disposition="inline", filename=f"{key}.png")  # type: ignore[union-attr]
    # boundaries are drawn at random unless they are said
    digest = hashlib.sha256(html.encode()).hexdigest()[:24]
    for number, part in enumerate(one for one in message.walk() if one.is_multipart()):
        part.set_boundary(f"=_{digest}_{number}")
    return message.as_bytes()


def _text(content: BriefContent) -> str:
    """Return the front as plain text."""
    front = content.front
    head = [content.title, content.when] + (["Simulated data: nobody was affected."] if content.is_simulated else [])
    parts = [
        head,
        ["WHAT IS ASKED", front.decision, front.whom],
        ["WHAT PEOPLE FELT", *front.felt, *(f"- {c.label}: {_count(c)} ({c.usual})" for c in front.counts)],
        [
            "WHAT WOULD CHANGE", front.rules, *(f"- {line}" for line in front.gains),
            *(f"- {fate}: {kinds}" for fate, kinds in front.changes),
        ] if front.rules else [],
        ["HOW SURE THIS IS", *(f"- {words.sentence(phrase)}: {of}" for phrase, of in front.sure)],
        ["WHO OWNS WHAT", *(f"- {owner}" for owner in front.owners)],
        [TICKETS.upper(), *("; ".join(row) for row in ticket_rows(content.tickets))] if content.tickets is not None else [],
    ]  # fmt: skip
    clean = [[words.label(line, longest=400) for line in part if line] for part in parts]
    return "\n\n".join("\n".join(part) for part in clean if part) + "\n"


def _count(one: Count) -> str:
    return one.shown if one.out_of is None else f"{one.shown} of {words.number(one.out_of)}"


def _plain(text: str) -> str:
    """Return text in which Markdown finds no markup of its own."""
    line = _MARKUP.sub(r"\\\1", words.label(text, longest=600))
    return _START.sub(r"\1\\\2", line)
