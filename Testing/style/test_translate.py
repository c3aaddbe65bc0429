"""Weights of a translation on disk, its application, and histogram matching."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.style.histogram_matching import match_histogram, reference_quantiles
from XRayTo3DLib.style.style_weights import load_style, new_generator, save_style
from XRayTo3DLib.style.translate import translate


def film(seed: int = 0, power: float = 1.0) -> torch.Tensor:
    values = np.random.default_rng(seed).random((256, 256)) ** power
    return torch.from_numpy(values).float()


@pytest.fixture(params=["cyclegan", "curves"])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    generator = new_generator(request.param)
    for parameter in generator.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    path = tmp_path / "weights.safetensors"
    save_style(generator, torch.linspace(0.1, 0.9, 129), request.param, path, {"steps": 7})
    return path


def test_weights_come_back(weights: Path) -> None:
    model = load_style(weights)
    assert model.card == {"steps": 7}
    assert torch.allclose(model.reference, torch.linspace(0.1, 0.9, 129))
    torch.manual_seed(1)
    generator = new_generator(model.method)
    for parameter in generator.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    with torch.no_grad():
        expected = generator(film()[None, None])[0, 0].clamp(0, 1)
    styled = translate(film(), model)
    assert styled.dtype == torch.float32
    assert styled.shape == (256, 256)
    assert torch.allclose(styled, expected, atol=5e-3)  # half precision
    assert not torch.allclose(styled, film(), atol=5e-3)
    assert weights.stat().st_size < 12e6


def test_weights_are_checked_against_their_digest(weights: Path) -> None:
    weights.with_suffix(".sha256").write_text(f"{'0' * 64}  weights.safetensors\n")
    with pytest.raises(InputFileError, match=r"weights\.safetensors: is damaged"):
        load_style(weights)


def test_sha256sum_agrees(weights: Path) -> None:
    stated = weights.with_suffix(".sha256").read_text(encoding="utf-8").split()[0]
    assert stated == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert load_style(weights).sha256 == stated


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x08" + b"\0" * 7 + b"{}      "])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"other\.safetensors: holds no translation"):
        load_style(path)
    with pytest.raises(InputFileError, match="does not exist"):
        load_style(tmp_path / "absent.safetensors")


def test_what_reconstructs_may_import_it() -> None:
    """Data moves one way: what is applied before the network knows nothing of what follows."""
    code = (
        "import sys, XRayTo3DLib.style.translate, XRayTo3DLib.style.histogram_matching\n"
        "later = ('reconstruction', 'training', 'evaluation', 'tomography')\n"
        "names = [name.split('.') for name in sys.modules if name.startswith('XRayTo3DLib.')]\n"
        "print([name for name in names if name[1] in later])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_matching_is_that_of_scikit_image() -> None:
    source, target = film(0, 2.0).clamp(0.03), film(1, 0.5).clamp(0.03)
    ours = match_histogram(source, reference_quantiles(target)).numpy()
    theirs = match_histograms(source.numpy(), target.numpy())
    assert np.abs(ours - theirs).mean() < 2e-3
    assert np.abs(ours - theirs).max() < 2e-2


def test_matching_keeps_the_order_of_greys_and_air() -> None:
    source = film(0, 2.0)
    source[:100] = 0.0
    matched = match_histogram(source, reference_quantiles(film(1, 0.3)))
    order = source.flatten().argsort()
    assert (matched.flatten()[order].diff() >= -1e-6).all()
    assert (matched[:100] == 0).all()
    empty = torch.zeros(256, 256)
    assert torch.equal(match_histogram(empty, reference_quantiles(film())), empty)


def test_the_amount_of_air_does_not_matter() -> None:
    target = film(1, 0.5)
    wide = torch.cat([target, torch.zeros(256, 256)])
    assert torch.allclose(reference_quantiles(target), reference_quantiles(wide))
