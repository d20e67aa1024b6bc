"""The bundled editor library.

Built from the sources beside it, complete, and without side effects on its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

WEB = Path(__file__).resolve().parents[2] / "web"
SOURCES = WEB / "editor-src"
BUNDLE = WEB / "js" / "vendor" / "codemirror.js"
LEAST_BYTES = 100_000


def exported() -> set[str]:
    groups = re.findall(r"export\s*\{([^}]*)\}", BUNDLE.read_text(encoding="utf-8"))
    return {name.split(" as ")[-1].strip() for group in groups for name in group.split(",")}


def test_the_bundle_is_that_of_the_sources() -> None:
    names = ("build.mjs", "codemirror.mjs", "package-lock.json", "package.json")
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in names)).hexdigest()
    assert f" from sources {digest} as code " in BUNDLE.read_text(encoding="utf-8")[:250], (
        "run `node web/editor-src/build.mjs`"
    )


def test_the_bundle_is_as_it_was_built() -> None:
    head, _, code = BUNDLE.read_bytes().partition(b"*/\n")
    assert len(code) > LEAST_BYTES
    assert f" as code {hashlib.sha256(code).hexdigest()}\n" in head.decode(), (
        "run `node web/editor-src/build.mjs`"
    )


def test_every_package_is_locked_by_its_contents() -> None:
    packages = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [path for path, entry in packages.items() if path and not entry.get("integrity")] == []


def test_the_bundle_names_its_packages_and_their_licence() -> None:
    head = BUNDLE.read_text(encoding="utf-8").partition("*/")[0]
    packages = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    shipped = [
        path.removeprefix("node_modules/")
        for path, entry in packages.items()
        if path and not entry.get("dev") and not entry.get("optional")
    ]
    assert [name for name in shipped if f"{name} " not in head] == []
    assert "Permission is hereby granted, free of charge" in head


def test_the_host_finds_no_sources_among_the_extensions() -> None:
    """It loads every .js below web/ as an extension."""
    assert list(SOURCES.rglob("*.js")) == []


def test_what_the_editor_imports_is_there() -> None:
    wanted = set()
    for path in (WEB / "js" / "editor").glob("*.js"):
        for names in re.findall(
            r"import\s*\{([^}]*)\}\s*from \"\.\./vendor/codemirror\.js\"",
            path.read_text(encoding="utf-8"),
        ):
            wanted |= {name.strip() for name in names.split(",") if name.strip()}
    assert wanted
    assert exported() == wanted, "the bundle holds what is used, and nothing else"
