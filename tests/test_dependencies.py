"""What the kit rests on, without asking anybody: what it imports is declared, installed, in range, and free to use."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [one for one in map(Requirement, PROJECT["dependencies"]) if not one.marker or one.marker.evaluate()]
EXTRAS = [Requirement(one) for extra in PROJECT["optional-dependencies"].values() for one in extra]
# comes with a declared one, and is its public face: what brings it is named here
BROUGHT = {
    "markupsafe": "jinja2",
    "nbformat": "nbconvert",
    "nbclient": "nbconvert",
    "py4j": "pyspark",
    "traitlets": "ipywidgets",
}
FREE = re.compile(
    r"MIT|BSD|Apache|ISC|MPL|PSF|Python Software Foundation|HPND|Zlib|Unlicense|CC0|source and binary forms",
    re.IGNORECASE,
)
BOUND = re.compile(
    r"GPL|Affero|proprietary|commercial", re.IGNORECASE
)  # what those who pass the kit on would be bound by


def imported() -> Iterator[tuple[str, str]]:
    """Yield the first word of every import of the package, with its place."""
    for file in (ROOT / "incident_kit").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            yield from ((name.partition(".")[0], f"{file.name}:{node.lineno}") for name in names)


def licence(installed: Distribution) -> str:
    """Return what a distribution says its licence is; where it says nothing, how the licence itself begins."""
    about = installed.metadata
    said = [about.get("License-Expression", ""), about.get("License", "")[:300]]
    said += [one for one in about.get_all("Classifier", []) if one.startswith("License ::")]
    if not any(said):
        files = [one for one in installed.files or () if "licen" in one.name.lower()]
        said = [one.read_text(encoding="utf-8")[:300] for one in files]
    return " ".join(said)


def test_the_package_imports_what_it_declares_and_nothing_else() -> None:
    of = packages_distributions()
    declared = {canonicalize_name(one.name) for one in (*DECLARED, *EXTRAS)}
    foreign = []
    for name, where in imported():
        if name in sys.stdlib_module_names or name == "incident_kit":
            continue
        brings = {canonicalize_name(one) for one in of.get(name, [])} or {canonicalize_name(name)}
        if not brings & declared and not any(BROUGHT.get(one) in declared for one in brings):
            foreign.append((name, where))
    assert foreign == []


@pytest.mark.parametrize("wanted", DECLARED, ids=str)
def test_what_is_declared_is_installed_in_range_and_free(wanted: Requirement) -> None:
    installed = distribution(wanted.name)
    assert wanted.specifier.contains(installed.version, prereleases=True)
    assert wanted.specifier, "a lowest version that is tested stands in pyproject.toml"
    assert FREE.search(licence(installed)), wanted.name


def test_everything_below_is_there_in_range_and_free() -> None:
    seen: set[str] = set()
    left, wrong = [(one, "incident-kit") for one in DECLARED], []
    while left:
        wanted, by = left.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{by} needs {wanted}, which is not installed")
            continue
        if not wanted.specifier.contains(found.version, prereleases=True):
            wrong.append(f"{by} needs {wanted}, and {found.version} is installed")
        if (name := canonicalize_name(wanted.name)) not in seen:
            seen.add(name)
            if not FREE.search(licence(found)) or BOUND.search(licence(found)):
                wrong.append(f"{name}: {licence(found)[:100]}")
            left += [(Requirement(one), name) for one in found.requires or ()]
    assert wrong == []
    assert len(seen) > 50, "those below were read"


@pytest.mark.skipif(not (ROOT / "uv.lock").exists(), reason="uv has locked nothing here")
def test_what_is_locked_has_hashes() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    bare = [
        one["name"]
        for one in lock["package"]
        if "editable" not in one.get("source", {})
        and not all("hash" in file for file in [*one.get("wheels", []), *([one["sdist"]] if "sdist" in one else [])])
    ]
    assert bare == []
    assert {canonicalize_name(one.name) for one in DECLARED} <= {one["name"] for one in lock["package"]}
