"""Makes the sample radiographs and their truth: ``python Testing/make_sample_data.py BONES``.

BONES is a folder of bone surfaces with an index.json. The knee is generated from the Visible Human
Female's, whom the training holds out, and filmed with gVirtualXRay.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import vtk

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
from XRayTo3DLib.anatomy.surface import Surface, write_surface
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.imaging.dicom_writing import derived_uid, write_radiograph_dicom

PERSON = "vhf"
SEED = 2026
VARIATION = KneeVariation(
    size=0.04, scale=0.02, shape=0.8, detail=0.1, flexion=10.0, varus=0.0, leg_turn=2.0,
    leg_lean=1.0, placing=3.0, patella=1.0, gap=0.0, femur_swap=0.0,
)  # fmt: skip


def _finer(surface: Surface) -> Surface:
    """Facets of a coarse mesh rounded (Loop subdivision)."""
    subdivide = vtk.vtkLoopSubdivisionFilter()
    subdivide.SetInputData(surface.to_vtk())
    subdivide.SetNumberOfSubdivisions(1)
    subdivide.Update()
    return Surface.from_vtk(subdivide.GetOutput())


def main(bones: Path) -> None:
    """Write two DICOM films and the truth to Resources/SampleData."""
    here = Path(__file__).parents[1] / "Resources" / "SampleData"
    _, knees = split_by_person(load_knees(bones), [PERSON])
    knee = KneeGenerator(knees, VARIATION)(SEED)
    surfaces = {bone: _finer(surface) for bone, surface in knee.surfaces.items()}
    knee = type(knee)(knee.name, knee.person, knee.side, surfaces)
    rng = np.random.default_rng(SEED)
    geometry = filming_geometry(rng, knee.side, size=800, field=200.0)
    films = film_knee(knee, geometry, Simulator.GVXR, SEED)
    study = derived_uid("sample knee of nobody", str(SEED))
    for number, (film, name) in enumerate(zip(films, ("ap", "lateral"), strict=True), start=1):
        write_radiograph_dicom(
            here / f"knee_{name}.dcm",
            np.round(film.pixels * 4095).astype(np.uint16),
            view=film.view.value,
            side=film.side.value,
            spacing=film.spacing.value,
            sid=film.sid.value,
            sod=film.sod.value,
            patient_orientation=film.orientation.value,
            description=f"Generated knee of nobody, {name}",
            study_uid=study,
            instance=number,
        )
    (here / "truth").mkdir(exist_ok=True)
    for bone, surface in surfaces.items():
        write_surface(surface, here / "truth" / f"{bone.key}.ply", frame="RAS")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
