"""Write the list of the library's files into XRayTo3DLib/CMakeLists.txt, by which Slicer builds."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = REPOSITORY / "XRayTo3DLib"
_LIST = re.compile(r"(?<=set\(XRayTo3DLib_SCRIPTS\n)[^)]*(?=  \))")


def listed_scripts() -> list[str]:
    """The files that the list names, in its order."""
    found = _LIST.search((LIBRARY / "CMakeLists.txt").read_text(encoding="utf-8"))
    if found is None:
        raise LookupError("XRayTo3DLib/CMakeLists.txt has no set(XRayTo3DLib_SCRIPTS …).")
    return found.group().split()


def scripts_in_tree() -> list[str]:
    """The files that the list should name, relative to the library, in alphabetical order."""
    return sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py"))


def main() -> None:
    """Rewrite the list."""
    path = LIBRARY / "CMakeLists.txt"
    lines = "".join(f"  {name}\n" for name in scripts_in_tree())
    path.write_text(_LIST.sub(lines, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
