"""The lists by which Slicer builds the extension say what is in the tree."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from update_cmake_lists import listed_scripts, scripts_in_tree


def test_every_file_of_the_library_is_listed_once_and_nothing_else():
    listed, present = listed_scripts(), scripts_in_tree()
    missing = sorted(set(present) - set(listed))
    gone = sorted(set(listed) - set(present))
    twice = sorted({name for name in listed if listed.count(name) > 1})
    assert not (missing or gone or twice), (
        f"XRayTo3DLib/CMakeLists.txt: missing {missing}, no longer there {gone}, twice {twice}; "
        "run: python Testing/update_cmake_lists.py"
    )
    assert listed == present, "XRayTo3DLib/CMakeLists.txt is out of order; run the same command."


@pytest.mark.parametrize(
    "name",
    ["HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"],
)
def test_extension_metadata_stands_on_one_quoted_line(repository: Path, name: str):
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    lines = re.findall(rf'^set\(EXTENSION_{name} "[^"\n]*"\)$', text, flags=re.MULTILINE)
    assert len(lines) == 1


def test_extension_depends_on_pytorch(repository: Path):
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text


def test_subdirectories_of_the_extension_exist(repository: Path):
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    folders = re.findall(r"^add_subdirectory\((\S+)\)$", text, flags=re.MULTILINE)
    # The module is built by its own list as soon as it is there.
    with_lists = sorted(path.parent.name for path in repository.glob("XRayTo3D*/CMakeLists.txt"))
    assert sorted(folders) == with_lists


def cmake_set(text: str, name: str) -> list[str]:
    """The entries of ``set(name …)``, the module's name filled in."""
    found = re.search(rf"set\({name}\s([^)]*)\)", text)
    assert found is not None, name
    return found.group(1).replace("${MODULE_NAME}", "XRayTo3D").split()


def test_every_file_of_the_module_is_listed(repository: Path):
    module = repository / "XRayTo3D"
    text = (module / "CMakeLists.txt").read_text(encoding="utf-8")
    scripts = sorted(path.relative_to(module).as_posix() for path in module.rglob("*.py"))
    resources = sorted(
        path.relative_to(module).as_posix()
        for path in (module / "Resources").rglob("*")
        if path.is_file()
    )
    assert cmake_set(text, "MODULE_PYTHON_SCRIPTS") == scripts
    assert cmake_set(text, "MODULE_PYTHON_RESOURCES") == resources
    assert "slicer_add_python_unittest(SCRIPT XRayTo3D.py)" in text
    assert "WITH_GENERIC_TESTS" in text


def test_the_packages_beside_torch_are_those_that_the_panel_looks_for(repository: Path):
    from XRayTo3DLib.slicer.readiness import PACKAGES

    listed = (repository / "XRayTo3D" / "Resources" / "requirements.txt").read_text("utf-8")
    names = {re.split(r"[<>=]", line)[0] for line in listed.splitlines() if line[:1].isalpha()}
    assert names == set(PACKAGES.values())


def test_the_icon_is_as_the_index_of_extensions_asks(repository: Path):
    with Image.open(repository / "XRayTo3D" / "Resources" / "Icons" / "XRayTo3D.png") as icon:
        assert (icon.format, icon.size) == ("PNG", (128, 128))


def test_the_catalog_entry_is_as_the_index_of_extensions_asks(repository: Path):
    entry = json.loads((repository / "XRayTo3D.json").read_text(encoding="utf-8"))
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    wanted = {"build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url"}
    assert set(entry) == wanted | {"$schema", "tier"}
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in text
    assert f'set(EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}")' in text
    assert entry["tier"] in (1, 3, 5)
