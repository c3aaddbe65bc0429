"""The lists by which Slicer builds the extension say what is in the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
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
