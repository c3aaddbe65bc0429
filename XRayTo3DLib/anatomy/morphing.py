"""A bone on its way from its own shape towards another of its statistical shape model.

Smooth random fields bend a bone in ways that no bone is bent; the modes of a model change what
differs between people. Where few people are known, the shapes between and a little beyond theirs
are the nearest there is to more people.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import transform_points
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.shape_model import Fit, ShapeModel
from XRayTo3DLib.anatomy.surface import Surface

_LEAST_WAY = 0.3
"""Share of the way to the drawn shape that is gone at least; at most it is the whole."""


class Morph:
    """Changes one bone of knees by a shape model.

    Args:
        model: of right bones.
    """

    def __init__(self, model: ShapeModel) -> None:
        self._model = model
        self._fits: dict[str, Fit] = {}

    @property
    def bone(self) -> Bone:
        """Which bone it changes."""
        return self._model.bone

    def __call__(self, knee: Knee, rng: np.random.Generator) -> Surface:
        """The bone of a right knee, in its place and of its size, in another shape.

        Args:
            knee: aligned; its name stands for its shape, which is fitted once.
            rng: source of randomness.
        """
        own = self._fit(knee)
        coefficients = own.coefficients.copy()
        drawn = self._model.drawn(rng, smooth=0.0)[: len(coefficients)]
        way = rng.uniform(_LEAST_WAY, 1.0)
        # The first mode is the bone's size, which belongs to the rest of the knee.
        coefficients[1:] += way * (drawn - coefficients)[1:]
        shape = self._model.reconstructed(coefficients)
        return Surface(transform_points(own.pose, shape.vertices), shape.faces)

    def _fit(self, knee: Knee) -> Fit:
        if knee.name not in self._fits:
            self._fits[knee.name] = self._model.fitted(knee.surfaces[self.bone], smooth=False)
        return self._fits[knee.name]
