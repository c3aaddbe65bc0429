"""Vectors of films: their length, what moves them and what does not, and the files they go to."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom
from typer.testing import CliRunner

from XRayTo3DLib.cli import app
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.embedding import embed, embedding_length
from XRayTo3DLib.reconstruction.networks import PAPER, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.resources import resource_path

FILMS = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def film() -> Radiograph:
    return read_radiograph(FILMS[0])


def test_length_and_norm(film: Radiograph, model: Model) -> None:
    vector = embed(film, model)
    assert vector.shape == (embedding_length(model),) == (2048,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_coarser_scan_is_nearer_than_another_view_or_side(film: Radiograph, model: Model) -> None:
    finer = film.spacing.value
    coarse = replace(
        film,
        pixels=zoom(film.pixels, 0.5, order=1, mode="nearest", grid_mode=True),
        spacing=Sourced((2 * finer[0], 2 * finer[1]), Origin.USER),
    )
    mirrored = replace(film, pixels=film.pixels[:, ::-1].copy())
    lateral = read_radiograph(FILMS[1])
    vector = embed(film, model)
    like, left, side = (vector @ embed(other, model) for other in (coarse, mirrored, lateral))
    assert like > 0.95
    assert left < like - 0.05
    assert side < like - 0.05


def test_a_network_without_a_film_encoder_is_refused(film: Radiograph, model: Model) -> None:
    stacked = replace(model, network=ReconstructionNetwork(replace(PAPER, size=32, base=2)))
    with pytest.raises(XRayTo3DError, match="encode no films"):
        embed(film, stacked)


@pytest.mark.parametrize("name", ["vectors.npz", "vectors.csv"])
def test_the_command_writes_names_weights_and_vectors(
    tmp_path: Path, model: Model, name: str
) -> None:
    output = tmp_path / name
    arguments = ["embed", *map(str, FILMS), "--output", str(output)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    if output.suffix == ".npz":
        with np.load(output, allow_pickle=False) as file:
            names, vectors, weights = list(file["files"]), file["vectors"], str(file["weights"])
    else:
        with output.open(newline="") as text:
            rows = list(csv.reader(text))[1:]
        names, weights = [row[0] for row in rows], rows[0][1]
        vectors = np.array([row[2:] for row in rows], dtype=float)
    assert names == [film.name for film in FILMS]
    assert weights == model.identity.sha256
    expected = [embed(read_radiograph(film), model) for film in FILMS]
    assert np.allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "word"),
    [("vectors.txt", "name it .npz or .csv"), ("none/vectors.npz", "make the folder first")],
)
def test_bad_outputs_are_refused_in_a_sentence(tmp_path: Path, output: str, word: str) -> None:
    arguments = ["embed", str(FILMS[0]), "--output", str(tmp_path / output)]
    with pytest.raises(XRayTo3DError, match=word):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_an_older_file_is_kept_unless_told(tmp_path: Path) -> None:
    output = tmp_path / "vectors.npz"
    output.write_bytes(b"mine")
    arguments = ["embed", str(FILMS[0]), "--output", str(output)]
    with pytest.raises(XRayTo3DError, match="--overwrite"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert output.read_bytes() == b"mine"
