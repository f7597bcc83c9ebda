"""The brief: one HTML file that opens anywhere, with the network and scripts off, and asks nobody for anything."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from incident_kit import pageparts, words
from incident_kit.asked import Decision, Owner
from incident_kit.briefs import brieftable
from incident_kit.briefs.briefcontent import BriefContent, Lapse, Sweep, gather
from incident_kit.briefs.brieffront import QUESTIONS, Count
from incident_kit.briefs.briefpictures import WHATIF, Picture
from incident_kit.charts import offline, theme
from incident_kit.errors import UnwritableFile
from incident_kit.outfiles.outputs import write_whole
from incident_kit.pageparts import colours, digest, json_in_page, rendered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BriefContent", "Count", "Decision", "Lapse", "Owner", "Picture", "brief", "page", "save_pictures", "write"]

_ANSWERS = {"yes": "yes", "lower bound": "in part", "no": "no"}


def brief(
    incident: Any,
    board: Any,
    path: str | Path,
    *,
    title: str | None = None,
    decision: Decision | str | None = None,
    owners: Sequence[Owner | str] = (),
    sweep: Sweep = None,
    with_ids: bool = False,
    pictures: str | Path | None = None,
) -> Path:
    """Write an incident's brief and return its path; its name says which form: ``.html``, ``.pdf``, ``.md`` or ``.eml``.

    Parameters
    ----------
    incident, board
        See :func:`incident_kit.briefs.briefcontent.gather`.
    decision, owners
        What is asked (:class:`incident_kit.asked.Decision`, or its text) and who owns what comes of it; else what the incident
        says. Where nobody says, the page says which decision the numbers suggest, or that they suggest none.
    sweep
        One limit at several settings, for a slider: what :func:`incident_kit.sweep` gave, or a mapping of a path to its
        values (``{"refund-policy.max_p95_ms": range(1500, 6001, 500)}``), or ``"likely"``: the limit on waits that matters
        most in the proposed rules.
    with_ids
        Whether to list tickets by their ids; without, a brief holds aggregates only.
    pictures
        A folder, made where it is not there, for every chart as SVG and PNG.

    Raises
    ------
    UnwritableFile
        The name ends in something else, or the file cannot be written.
    """
    refuse_other_names(Path(path))
    content = gather(incident, board, title=title, decision=decision, owners=owners, sweep=sweep, with_ids=with_ids)
    if pictures is not None:
        save_pictures(content, pictures)
    return write(content, path)


FORMS = (".html", ".pdf", ".md", ".eml")


def refuse_other_names(file: Path) -> None:
    """Refuse a file whose name says none of the forms of a brief."""
    if file.suffix.lower() not in FORMS:
        raise UnwritableFile(f"{file.name!r} cannot be written: a brief's name ends in {', '.join(FORMS)}")


def write(content: BriefContent, path: str | Path) -> Path:
    """Write the brief in the form that the file's name says, and return its path."""
    file = Path(path)
    refuse_other_names(file)
    return write_whole(file, _made(content, file.suffix.lower()))


def _made(content: BriefContent, form: str) -> str | bytes:
    if form == ".html":
        return page(content)
    if form == ".pdf":
        from incident_kit.briefs.briefpdf import pdf

        return pdf(content)
    from incident_kit.briefs import briefmail

    return briefmail.markdown(content) if form == ".md" else briefmail.mail(content)


def save_pictures(content: BriefContent, folder: str | Path) -> list[Path]:
    """Write every chart of a brief as SVG and PNG in the width of a desk, and return the files."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    files = []
    for picture in content.pictures:
        drawing = picture.draw(width=theme.WIDTH)
        for suffix, drawn in ((".svg", offline.svg(drawing).encode()), (".png", offline.png(drawing))):
            files.append(write_whole(place / f"{picture.id}{suffix}", drawn))
    return files


def page(content: BriefContent) -> str:
    """Return the brief as one self-contained HTML page.

    The pictures are static first: they show without scripts; Vega draws over them where scripts run. A security policy
    in the page allows the two scripts it carries, by hash, and nothing else: no request can leave it.
    """
    figures = [_Figure.of(picture) for picture in content.pictures]
    script, code = pageparts.text("brief.js"), offline.bundle().replace("</script", "<\\/script")
    tables = brieftable.tables(content.table)
    return rendered(
        "brief.html.j2",
        content=content,
        figures=figures,
        tables=tables,
        phrases=(brieftable.SAW, brieftable.WORKED_OUT, brieftable.CANNOT_TELL),
        column=brieftable.column,
        zone=ZoneInfo(content.zone),
        tickets=None
        if content.tickets is None
        else {
            "said": brieftable.TICKETS,
            "columns": brieftable.TICKET_COLUMNS,
            "rows": brieftable.ticket_rows(content.tickets),
        },
        words=words,
        questions=QUESTIONS,
        answer_words=_ANSWERS,
        loads=list(content.loads.iter_rows(named=True)),
        style=Markup(pageparts.text("brief.css")),  # noqa: S704 - the kit's own file
        light=colours(dark=False),
        dark=colours(dark=True),
        record=json_in_page(content.record),
        whatif=WHATIF,
        specs=_packed(_pooled(figures) | {"steps": _steps(content)}),
        script=Markup(script),  # noqa: S704 - the kit's own file
        bundle=Markup(code),  # noqa: S704 - Vega's own code, with every end of a script in it escaped
        hashes=" ".join(f"'sha256-{digest(text)}'" for text in (code, script)),
    )


@dataclass(frozen=True)
class _Figure:
    """A picture as the page needs it: a drawing for each width, its alternative text, its specifications."""

    picture: Picture
    alt: str
    drawings: dict[str, str]
    specs: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, picture: Picture) -> _Figure:
        widths = {"wide": theme.WIDTH, "narrow": theme.NARROW}
        specs = {size: picture.draw(width=width).to_dict(validate=False) for size, width in widths.items()}
        drawings = {size: _data_uri(_of_either_theme(offline.svg(spec))) for size, spec in specs.items()}
        return cls(picture, specs["wide"].get("description", picture.heading), drawings, specs)


def _of_either_theme(picture: str) -> str:
    """Return an SVG that takes the dark colours where the page around it does, by a style of its own."""
    used = [colour for colour in theme.DARK if f'"{colour}"' in picture]
    rules = "".join(
        f'[{paint}="{colour}"]{{{paint}:{theme.DARK[colour]}}}' for colour in used for paint in ("fill", "stroke")
    )
    return picture.replace(">", f"><style>@media screen and (prefers-color-scheme: dark){{{rules}}}</style>", 1)


def _pooled(figures: Iterable[_Figure]) -> dict[str, Any]:
    """Return the specifications of all figures over one pool of data sets, so that none is in the page twice."""
    pool: dict[str, Any] = {}
    specs: dict[str, dict[str, Any]] = {}
    for figure in figures:
        for size, spec in figure.specs.items():
            pool |= spec.get("datasets", {})
            bare = {key: value for key, value in spec.items() if key not in {"datasets", "config"}}
            bare["names"] = list(spec.get("datasets", {}))
            specs.setdefault(figure.picture.id, {})[size] = bare
    return {"datasets": pool, "specs": specs, "config": theme.config(), "dark": theme.DARK}


def _steps(content: BriefContent) -> list[dict[str, Any]]:
    """Return what the slider says at each of its places."""
    steps = content.limit.steps if content.limit else ()
    return [
        {"at": step.value, "name": words.undirected(step.name), "said": words.undirected(step.said)} for step in steps
    ]


def _packed(value: Any) -> str:
    """Return JSON, compressed, in base64: what scripts draw is most of a page otherwise."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _data_uri(picture: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()
