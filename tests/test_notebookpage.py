from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner
from written import Call, Request, fill

from incident_kit import Incident
from incident_kit.commandline.cli import app
from incident_kit.errors import IncidentKitError, NoSuchItem, UnfitNotebook, UnwritableFile
from incident_kit.notebookpages.fingerprints import Fingerprints
from incident_kit.notebookpages.notebookpage import case_of, notebook_page, read_notebook
from incident_kit.notebookpages.notebookruns import of_a_case, parameters_of, with_parameters
from incident_kit.samples import notebooks

NASTY = "</script><img src=x onerror=alert(1)>"
SPEC = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "description": "Waits by hour",
    "params": [{"name": "limit", "value": 2, "bind": {"input": "range", "min": 1, "max": 5}}],
    "data": {"values": [{"x": 1, "of": NASTY}]},
    "mark": "bar",
    "encoding": {"x": {"field": "x", "type": "quantitative"}},
}


def output(data: dict[str, Any], kind: str = "display_data") -> Any:
    return nbformat.v4.new_output(kind, data=data)


def stream(text: str, name: str = "stdout") -> Any:
    return nbformat.v4.new_output("stream", name=name, text=text)


def saved(path: Path, *outputs: Any, prose: str = "# Waits", code: str = "show()") -> Path:
    cell = nbformat.v4.new_code_cell(code, outputs=list(outputs), execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), cell]), path)
    return path


def page(tmp_path: Path, *outputs: Any, **options: Any) -> str:
    made = {name: options.pop(name) for name in ("prose", "code") if name in options}
    return notebook_page(saved(tmp_path / "n.ipynb", *outputs, **made), tmp_path / "n.html", **options).path.read_text(
        "utf-8"
    )


def body(text: str) -> str:
    return text[text.index("<main>") : text.index("</main>")]


def test_a_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    html = page(
        tmp_path, output({"application/vnd.vegalite.v5+json": SPEC, "image/svg+xml": "<svg/>", "text/plain": "x"})
    )
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy[1].split("style-src")[0]
    assert "unsafe-eval" not in html
    assert re.findall(r'(?:src|href)="(?!data:|#)', body(html)) == []
    assert len(html.encode()) < 1.5e6


def test_charts_are_pictures_first_and_keep_their_inputs(tmp_path: Path) -> None:
    html = page(tmp_path, output({"application/vnd.vegalite.v5+json": SPEC, "image/svg+xml": "<svg id='s'/>"}))
    picture = "data:image/svg+xml;base64," + base64.b64encode(b"<svg id='s'/>").decode()
    assert f'<img src="{picture}" alt="Waits by hour">' in body(html)
    data = re.search(r'<script type="application/json">(.*?)</script>', html)
    assert data
    (spec,) = json.loads(data[1])["specs"]
    assert spec["params"] == SPEC["params"]
    assert "$schema" not in spec
    assert NASTY not in data[1]
    assert spec["data"]["values"][0]["of"] == NASTY


@pytest.mark.parametrize(
    "data",
    [
        {
            "text/html": f"<b>{NASTY}</b><iframe src=//x></iframe><meta http-equiv=refresh content=0><p onclick=x()>said</p>"
        },
        {"text/markdown": f"*said* {NASTY} [go](javascript:alert(1)) ![p](https://x.example/p.png)"},
        {"text/plain": f"said {NASTY} \x1b[31mred\x1b]8;;http://x.example\x07"},
    ],
)
def test_what_a_log_brought_cannot_run_or_load(tmp_path: Path, data: dict[str, str]) -> None:
    text = body(page(tmp_path, output(data), prose=f"# Title\n\n{NASTY}<script>alert(2)</script>"))
    assert "said" in text
    tags = {tag.lower() for tag in re.findall(r"<\s*(\w+)", text)}
    assert not tags & {"script", "img", "iframe", "meta", "object", "form", "input", "link", "base", "style"}
    assert not re.search(r"<[^>]*\b(?:onerror|onclick|javascript:)", text)
    assert "\x1b" not in text


def test_a_chart_whose_data_lie_elsewhere_is_a_picture_only(tmp_path: Path) -> None:
    spec = SPEC | {"data": {"url": "https://x.example/waits.csv"}}
    outputs = [output({"application/vnd.vegalite.v6+json": spec, "image/svg+xml": "<svg/>"}), stream("a")]
    made = notebook_page(saved(tmp_path / "n.ipynb", *outputs), tmp_path / "n.html")
    assert "x.example" not in made.path.read_text("utf-8")
    assert 'alt="Waits by hour"' in body(made.path.read_text("utf-8"))
    assert "picture only" in str(made)


def test_a_table_stays_a_table(tmp_path: Path) -> None:
    cell = '<td style="text-align: right; position: fixed">1</td>'
    table = f'<style>td {{color: red}}</style><table><tr><th scope="col">a</th></tr><tr>{cell}</tr></table>'
    text = body(page(tmp_path, output({"text/html": table, "text/plain": "a 1"})))
    assert '<th scope="col">a</th>' in text
    assert '<td style="text-align: right;">1</td>' in text


def test_widgets_scripts_and_warnings_are_left_out_and_said(tmp_path: Path) -> None:
    outputs = [
        stream("a row"),
        stream("DeprecationWarning: x", "stderr"),
        output({"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "Tuner(children=())"}),
        output(
            {
                "text/html": "<div id=altair></div><script src=https://cdn.example/v.js></script>",
                "text/plain": "alt.Chart(...)",
            }
        ),
    ]
    made = notebook_page(saved(tmp_path / "n.ipynb", *outputs), tmp_path / "n.html")
    text = body(made.path.read_text("utf-8"))
    assert "Tuner(" not in text
    assert "DeprecationWarning" not in text
    assert [one.split(":")[0] for one in made.left_out] == ["cell 2"] * 3 + ["no case is known to this notebook"]
    assert ".snapshot()" in str(made)
    assert "enable_offline()" in str(made)


def test_a_list_stays_a_list(tmp_path: Path) -> None:
    last = "what was assumed, in a line that is as wide as a line may be, and one that holds a good deal of words"
    items = [
        f"  rules number {i}, if only waits move and nothing of the work is redone: 9 fewer, 1 more" for i in (1, 2)
    ]
    text = body(page(tmp_path, stream("\n".join(["Missed:", *items, last]))))
    assert "\n".join(["Missed:", *items, last]) in text


def test_printed_tables_keep_their_columns_and_sentences_their_flow(tmp_path: Path) -> None:
    wrapped = "a sentence that was wrapped by whoever printed it, since it is longer than a line\n  may be, goes on"
    printed = stream("Said first.\n\npolicy  wait\nfounding  2 s\n")
    text = body(page(tmp_path, printed, output({"text/plain": wrapped})))
    assert "Said first.</div>" in text
    assert '<pre tabindex="0">policy  wait\nfounding  2 s</pre>' in text
    assert "longer than a line may be, goes on</div>" in text


def test_a_notebook_that_failed_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    failed = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=["/home/anna/x.py"])
    with pytest.raises(UnfitNotebook, match="cell 2 ended in ValueError"):
        page(tmp_path, stream("a"), failed)
    with pytest.raises(UnfitNotebook, match="holds no result"):
        page(tmp_path)
    (tmp_path / "x.ipynb").write_text("{}")
    with pytest.raises(UnfitNotebook, match="is no notebook"):
        read_notebook(tmp_path / "x.ipynb")
    with pytest.raises(UnfitNotebook, match="cannot be read"):
        read_notebook(tmp_path / "none.ipynb")
    with pytest.raises(UnwritableFile, match=r"ends in \.html"):
        notebook_page(saved(tmp_path / "n.ipynb", stream("a")), tmp_path / "n.pdf")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("read /home/anna/cases/oct/requests.csv twice", "read …/requests.csv twice"),
        (r"in C:\Users\Anna\Desktop\x.csv, line 3", "in …/x.csv, line 3"),
        ("File '/tmp/ipykernel_1/2.py'", "File '…/2.py'"),
        ("/home/anna is home", "… is home"),
        ("see https://desk.example/home/anna/x", "see https://desk.example/home/anna/x"),
        ("a ratio of 3/4 and and/or", "a ratio of 3/4 and and/or"),
    ],
)
def test_paths_of_a_machine_are_shortened(text: str, clean: str) -> None:
    assert Fingerprints().clean(text, where="cell 1") == clean


def test_paths_of_this_process_are_shortened_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "odd place"
    prints = Fingerprints(folders=[odd])
    assert prints.clean(f"{odd}/logs/a.csv and {tmp_path}", where="cell 1") == "…/a.csv and …"
    assert len(prints.paths) == 2


def test_a_secret_of_the_environment_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "k-0123456789")
    with pytest.raises(UnfitNotebook, match="GATEWAY_API_KEY") as refused:
        page(tmp_path, stream("asked with k-0123456789"))
    assert "k-0123456789" not in str(refused.value)


def incident() -> Incident:
    made = Incident.create()
    fill(
        made.store,
        [
            Request("chat-77f1", 0, [Call("primary", 900)], changes={"ticket_id": "4711"}),
            Request("r2", 1, [Call("primary", 900)]),
        ],
    )
    return made


def test_ids_of_the_incident_become_stand_ins_and_numbers_stay(tmp_path: Path) -> None:
    said = "chat-77f1 went on ticket 4711; chat-77f1. 4711 people; r2d2"
    made = notebook_page(saved(tmp_path / "n.ipynb", stream(said)), tmp_path / "n.html", incident=incident())
    text = body(made.path.read_text("utf-8"))
    assert "request-1 went on ticket ticket-1; request-1. 4711 people; r2d2" in text
    assert any("1 numbers are also ids" in one for one in made.left_out)
    kept = page(tmp_path, stream(said), incident=incident(), with_ids=True)
    assert "chat-77f1 went on ticket 4711" in kept


def test_parameters_are_read_and_set_as_papermill_does(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell(
            'CASE = "../x"  # a folder\nDRAWS = 50\nODD = len("x")', metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell("print(CASE)"),
    ]
    tree = nbformat.v4.new_notebook(cells=cells)
    assert dict(parameters_of(tree)) == {"CASE": "../x", "DRAWS": 50}
    changed = with_parameters(tree, {"DRAWS": 8})
    assert changed.cells[1].source == "DRAWS = 8"
    assert changed.cells[1].metadata.tags == ["injected-parameters"]
    assert len(tree.cells) == 2
    with pytest.raises(NoSuchItem, match=r"'DRAW'.*did you mean 'DRAWS'.*CASE, DRAWS"):
        with_parameters(tree, {"DRAW": 8})
    mine = json.loads(of_a_case(nbformat.writes(tree)))
    assert "".join(mine["cells"][0]["source"]).splitlines()[:2] == ['CASE = "."  # a folder', "DRAWS = 50"]
    nbformat.write(tree, tmp_path / "n.ipynb")
    assert case_of(tmp_path / "n.ipynb") is None
    assert all(case_of(one) == one.parent / "../data/samples/outage" for one in notebooks())


@pytest.mark.slow
def test_the_verb_runs_a_notebook_and_writes_its_page(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell('NAME = "a"', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('ran as', NAME)"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "n.ipynb")
    run = CliRunner().invoke(app, ["export", "notebook", str(tmp_path / "n.ipynb"), "--run", "--set", "NAME=b c"])
    assert run.exit_code == 0, run.output
    assert "ran as b c" in (tmp_path / "n.html").read_text("utf-8")
    assert read_notebook(tmp_path / "n.ipynb").cells[1].outputs == [], "the notebook itself stays as it was"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.yaml"], "is no notebook"),
        (["none.ipynb"], "cannot be read"),
        (["none.ipynb", "--out", "x.pdf"], "ends in .html"),
        (["none.ipynb", "--set", "8"], "NAME=VALUE"),
    ],
)
def test_the_verb_says_what_is_wrong(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["export", "notebook", *arguments])
    assert isinstance(run.exception, IncidentKitError)
    assert said in str(run.exception)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_bundled_notebooks_become_pages_that_give_nobody_away(path: Path, tmp_path: Path) -> None:
    made = notebook_page(path, tmp_path / "page.html", with_ids=True)
    html = made.path.read_text("utf-8")
    assert len(html.encode()) <= 3e6
    own = [str(Path.home()), str(Path(__file__).parents[1]), os.environ.get("USER", "nobody here")]
    assert [one for one in own if len(one) > 5 and one in html] == []
    assert made.left_out == ()
