"""Crops on the device are what Pillow makes of each region on the host."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
Image = pytest.importorskip('PIL.Image')

from ris_ros.models.pillow_resize import square_crops, stretched

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (60, 90, 3), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (60, 90, 3), dtype=np.uint8)
BOXES = [(0, 0, 90, 60), (5, 7, 30, 30), (40, 3, 9, 51), (2, 50, 77, 4), (80, 50, 1, 1),
         (10, 10, 1, 20), (0, 0, 32, 31)]


def tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1).float()


def on_the_host(masks, size, fit, exact, outside):
    """One region at a time, with Pillow."""
    for (x, y, w, h), mask in zip(BOXES, masks, strict=True):
        composed = np.where(mask[..., None], PICTURE, outside)[y:y + h, x:x + w]
        pad = abs(h - w) // 2
        more = pad + (abs(h - w) % 2 if exact else 0)
        rows, columns = ((0, 0), (pad, more)) if h > w else ((pad, more), (0, 0))
        image = Image.fromarray(np.pad(composed, (rows, columns, (0, 0))))
        side = (size, size)
        if fit == 'cover':
            short = min(image.size)
            side = tuple(size * n // short for n in image.size)
        image = image.resize(side, Image.BICUBIC)
        left, top = (round((n - size) / 2) for n in image.size)
        yield np.array(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize('black', [True, False])
@pytest.mark.parametrize('exact', [True, False])
@pytest.mark.parametrize(('fit', 'size'), [('cover', 24), ('stretch', 24), ('cover', 64)])
def test_equal_to_pillow(fit, size, exact, black):
    masks = RNG.random((len(BOXES), 60, 90)) < 0.7
    expected = list(on_the_host(masks, size, fit, exact, 0 if black else OTHER))
    got = square_crops(tensor(PICTURE), None if black else tensor(OTHER),
                       torch.from_numpy(masks), torch.tensor(BOXES).float(), size, fit, exact)
    np.testing.assert_array_equal(got.permute(0, 2, 3, 1).numpy(), np.stack(expected))


@pytest.mark.parametrize('size', [16, 75])
def test_the_whole_image(size):
    expected = np.array(Image.fromarray(PICTURE).resize((size, size), Image.BICUBIC))
    np.testing.assert_array_equal(stretched(tensor(PICTURE), size).permute(1, 2, 0).numpy(),
                                  expected)


def test_no_regions():
    nothing = square_crops(tensor(PICTURE), None, torch.zeros(0, 60, 90, dtype=torch.bool),
                           torch.zeros(0, 4), 8)
    assert nothing.shape == (0, 3, 8, 8)
