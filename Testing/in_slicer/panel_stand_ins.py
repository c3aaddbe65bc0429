"""What the module's file imports of the desktop application, as far as importing needs it.

MRML, the nodes and the library behind the panel are the real ones; only Qt's and the desktop's
own Python modules, which no package index has, are stood in for.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import slicer

MODULE = Path(__file__).resolve().parents[2] / "XRayTo3D" / "XRayTo3D.py"


class Choice:
    def __init__(self, choices: list[str]) -> None:
        self.choices = choices


class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: object = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")


def _module(name: str, **content: object) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


def _modules() -> dict[str, ModuleType]:
    return {
        "qt": _module("qt"),
        "slicer.i18n": _module(
            "slicer.i18n", tr=lambda text: text, translate=lambda _context, text: text
        ),
        "slicer.parameterNodeWrapper": _module(
            "slicer.parameterNodeWrapper",
            Choice=Choice,
            WithinRange=WithinRange,
            parameterNodeWrapper=lambda wrapped: wrapped,
        ),
        "slicer.ScriptedLoadableModule": _module(
            "slicer.ScriptedLoadableModule",
            ScriptedLoadableModule=type("ScriptedLoadableModule", (), {}),
            ScriptedLoadableModuleLogic=ScriptedLoadableModuleLogic,
            ScriptedLoadableModuleTest=type("ScriptedLoadableModuleTest", (), {}),
            ScriptedLoadableModuleWidget=type("ScriptedLoadableModuleWidget", (), {}),
        ),
    }


@contextmanager
def module_file() -> Iterator[ModuleType]:
    """The module's file, imported as Slicer does."""
    modules = _modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    sys.path.insert(0, str(MODULE.parent))  # as Slicer does
    try:
        spec = importlib.util.spec_from_file_location("XRayTo3D", MODULE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(MODULE.parent))
        # What was imported with stand-ins is of no use to others.
        for name in [name for name in sys.modules if name.split(".")[0] == "XRayTo3DPanel"]:
            del sys.modules[name]
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier


assert slicer.util.VTKObservationMixin is not None  # the real one; the module needs it
