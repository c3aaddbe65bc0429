"""What an installed copy needs: every package, its data, its dependencies, its command."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, packages_distributions, version
from pathlib import Path
from zipfile import ZipFile

import pytest
from update_cmake_lists import LIBRARY, scripts_in_tree

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.resources import resource_path

# Imported inside Slicer only: Slicer supplies what they import.
INSIDE_SLICER = "slicer/"


def run_python(code: str, folder: Path) -> str:
    """What a fresh interpreter prints that finds the library in ``folder``."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder with the unpacked wheel, built from a copy of the sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repository / name, source)
    for name in ("XRayTo3DLib", "Resources"):
        shutil.copytree(repository / name, source / name)
    # A file of known content, whatever weights the repository has by now.
    (source / "Resources" / "Models" / "nested").mkdir(parents=True)
    (source / "Resources" / "Models" / "nested" / "probe.txt").write_text("found")
    code = f"import setuptools.build_meta as b; b.build_wheel({str(target)!r})"
    run_python(code, source)
    (wheel,) = target.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Distribution:
    """What the wheel says of itself."""
    (information,) = installed.glob("*.dist-info")
    return Distribution.at(information)


@pytest.fixture(scope="module")
def owners() -> dict[str, set[str]]:
    """The distributions, by their normal names, that hold each importable package here."""
    return {
        package: {normal_name(name) for name in names}
        for package, names in packages_distributions().items()
    }


def normal_name(requirement: str) -> str:
    """The name that a requirement begins with, lower case with hyphens."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_wheel_holds_every_module_and_the_type_marker(installed: Path):
    folder = installed / "XRayTo3DLib"
    modules = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    assert modules == scripts_in_tree()
    assert (folder / "py.typed").is_file()


def test_wheel_holds_licence_and_notice_and_nothing_loose(installed: Path):
    (information,) = installed.glob("*.dist-info")
    assert {path.name for path in (information / "licenses").iterdir()} == {"LICENSE", "NOTICE"}
    loose = {path.name for path in installed.iterdir()} - {"XRayTo3DLib", information.name}
    assert [name for name in loose if not name.endswith(".whl")] == []


def test_wheel_finds_its_resources(installed: Path):
    code = (
        "from XRayTo3DLib.resources import resource_path\n"
        "print(resource_path('Models', 'nested', 'probe.txt').read_text())"
    )
    assert run_python(code, installed) == "found"


def test_extension_finds_its_resources_beside_the_library(tmp_path: Path):
    shutil.copytree(LIBRARY, tmp_path / "XRayTo3DLib")
    sample = tmp_path / "Resources" / "SampleData" / "knee.txt"
    sample.parent.mkdir(parents=True)
    sample.write_text("found")
    code = (
        "from XRayTo3DLib.resources import resource_path\n"
        "print(resource_path('SampleData', 'knee.txt').read_text())"
    )
    assert run_python(code, tmp_path) == "found"


def test_checkout_finds_its_resources(repository: Path):
    assert resource_path("Models") == repository / "Resources" / "Models"


def test_missing_resource_is_named():
    sentence = r"^Resources/Models/nobody\.bin is missing from this installation; install"
    with pytest.raises(XRayTo3DError, match=sentence):
        resource_path("Models", "nobody.bin")


def test_version_of_the_installed_package_is_that_of_the_sources(repository: Path):
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.search(r'^version = "(.+)"$', project, re.M)
    assert stated is not None
    assert version("XRayTo3D") == stated.group(1)


def test_command_is_a_function_of_the_library(metadata: Distribution):
    (command,) = metadata.entry_points
    assert (command.group, command.name) == ("console_scripts", "xrayto3d")
    assert callable(command.load())


def test_library_imports_without_slicer_qt_and_display():
    modules = [
        ".".join(("XRayTo3DLib", *Path(name).with_suffix("").parts)).removesuffix(".__init__")
        for name in scripts_in_tree()
        if not name.startswith(INSIDE_SLICER)
    ]
    code = (
        "import importlib\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print(sorted({'slicer', 'qt', 'ctk', 'PyQt5', 'tkinter'} & set(sys.modules)))"
    )
    assert run_python(code, LIBRARY.parent) == "[]"


# What each folder may not import; "cli" and "commands" are the top, which nothing imports.
TOP = {"cli", "commands"}
HIGHER_THAN = {
    "anatomy": TOP | {"style", "reconstruction", "tomography", "training", "evaluation", "slicer"},
    "imaging": TOP | {"style", "reconstruction", "tomography", "training", "evaluation", "slicer"},
    "style": TOP | {"training", "evaluation", "slicer"},
    "reconstruction": TOP | {"training", "evaluation", "slicer"},
    "tomography": TOP | {"training", "evaluation", "slicer"},
    "training": TOP | {"slicer"},
    "evaluation": TOP | {"slicer"},
    "slicer": TOP | {"training"},
}


@pytest.mark.parametrize("name", [name for name in scripts_in_tree() if "/" in name])
def test_nothing_lower_imports_anything_higher(name: str):
    tree = ast.parse((LIBRARY / name).read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    ours = [module.split(".") for module in modules if module and module.startswith("XRayTo3DLib.")]
    imported = {parts[1] for parts in ours}
    assert not imported & HIGHER_THAN.get(name.split("/")[0], set())


def imports_at_file_scope(path: Path) -> set[str]:
    """Top-level packages that a file imports when it is imported itself."""
    names = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Import):
            names |= {alias.name.split(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names.add(statement.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"XRayTo3DLib"}


@pytest.mark.parametrize(
    "name", [name for name in scripts_in_tree() if not name.startswith(INSIDE_SLICER)]
)
def test_what_a_file_needs_is_a_stated_dependency(
    name: str, metadata: Distribution, owners: dict[str, set[str]]
):
    stated = {normal_name(line) for line in metadata.requires or [] if "extra ==" not in line}
    for package in imports_at_file_scope(LIBRARY / name):
        known = owners.get(package, set())
        assert known & stated, f"{name} imports {package}: state it in pyproject.toml."


@pytest.mark.parametrize("name", scripts_in_tree())
def test_syntax_is_that_of_python_3_10(name: str):
    source = (LIBRARY / name).read_text(encoding="utf-8")
    assert ast.parse(source, feature_version=(3, 10))
