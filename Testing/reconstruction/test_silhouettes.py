"""Silhouettes of pictures: the same whoever asks, and worked out once where that is wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced
from XRayTo3DLib.reconstruction import centring, silhouettes
from XRayTo3DLib.reconstruction.centring import find_centres
from XRayTo3DLib.reconstruction.film_encoder import FilmEncoder
from XRayTo3DLib.reconstruction.leaning import lean_on
from XRayTo3DLib.reconstruction.placing import as_stated
from XRayTo3DLib.reconstruction.recognition_looks import bones_seen
from XRayTo3DLib.reconstruction.silhouettes import remembering, silhouettes_on
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.resources import resource_path


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def films() -> tuple[Radiograph, Radiograph]:
    paths = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]
    frontal, lateral, _ = read_pair(*paths)
    return frontal, lateral


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of pictures whenever some go through a network."""
    counts: list[int] = []
    real = silhouettes._worked_out

    def counted(model: Model, pictures: Tensor, views: list[int], batch: list[int]) -> list[Tensor]:
        counts.append(len(batch))
        return real(model, pictures, views, batch)

    monkeypatch.setattr(silhouettes, "_worked_out", counted)
    return counts


def some(count: int) -> Tensor:
    return torch.rand(count, 256, 256, generator=torch.Generator().manual_seed(count))


def plain(model: Model, pictures: Tensor, views: list[int]) -> Tensor:
    """Straight from the network, in pairs of the same picture."""
    encoder = model.network.films
    assert isinstance(encoder, FilmEncoder)
    with torch.inference_mode():
        both = encoder(pictures[:, None].expand(-1, 2, -1, -1))[1].sigmoid()
    return both[range(len(views)), views]


@pytest.mark.parametrize(
    "views", [[0], [1], [0, 1], [1, 0], [0, 0, 0, 0, 0], [1, 0, 1, 1, 1], [0, 0, 1, 1, 0, 1, 0]]
)
def test_each_picture_is_seen_by_the_entry_of_its_view(model: Model, views: list[int]) -> None:
    pictures = some(len(views))
    found = silhouettes_on(model, pictures, views)
    assert found.shape == (len(views), 4, 128, 128)
    assert torch.allclose(found, plain(model, pictures, views), atol=1e-3)


def test_what_was_seen_is_not_worked_out_again(model: Model, worked_out: list[int]) -> None:
    pictures = some(3)
    with remembering():
        first = silhouettes_on(model, pictures, [0, 1, 1])
        assert sum(worked_out) == 3
        again = silhouettes_on(model, pictures[[2, 0]], [1, 0])
        assert sum(worked_out) == 3
        assert torch.equal(again, first[[2, 0]])
        other_view = silhouettes_on(model, pictures[:1], [1])
        assert sum(worked_out) == 4
        assert not torch.equal(other_view[0], first[0])


def test_another_network_is_asked_anew(model: Model, worked_out: list[int]) -> None:
    other = load_model("knee-small96")
    with remembering():
        first = silhouettes_on(model, some(1), [0])
        second = silhouettes_on(other, some(1), [0])
    assert sum(worked_out) == 2
    assert not torch.equal(first, second)


def test_nothing_is_remembered_unless_that_is_wanted(model: Model, worked_out: list[int]) -> None:
    for _ in range(2):
        silhouettes_on(model, some(1), [0])
    with remembering():
        silhouettes_on(model, some(1), [0])
    with remembering():
        silhouettes_on(model, some(1), [0])
    assert sum(worked_out) == 4


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("margin", [0, 7])
def test_a_film_in_its_place_goes_through_the_network_once(
    model: Model,
    films: tuple[Radiograph, Radiograph],
    worked_out: list[int],
    monkeypatch: pytest.MonkeyPatch,
    side: Side,
    margin: int,
) -> None:
    """Whoever looks at the film's middle, cast, joint or lean, shows the network one picture."""
    monkeypatch.setattr(centring, "_NEAR_ENOUGH", np.inf)  # wherever the joint is, one look will do
    frontal, lateral = (on_side(film, side, margin) for film in films)
    centres = stated_centres(frontal, lateral)
    geometry = as_stated(frontal, lateral, 90.0, centres)
    with remembering():
        for film in (frontal, lateral):
            bones_seen(film, model)
        assert sum(worked_out) == 2
        find_centres(model, frontal, lateral, geometry, centres)
        assert sum(worked_out) == 2
        lean_on(frontal, model, centres.frontal.value)
        assert sum(worked_out) == 2


def on_side(film: Radiograph, side: Side, margin: int) -> Radiograph:
    """The right knee's film, mirrored for a left one, and a little smaller."""
    pixels = film.pixels[margin:, margin:]
    if side is not film.side.value:
        pixels = pixels[:, ::-1]
    return replace(film, pixels=np.ascontiguousarray(pixels), side=Sourced(side, Origin.USER))
