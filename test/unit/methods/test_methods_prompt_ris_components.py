"""Separate regions of response maps, against a labelling of OpenCV."""
import pytest

pytest.importorskip('torch')
cv2 = pytest.importorskip('cv2')
import numpy as np
import torch

from ris_ros.methods.prompt_ris.components import peaks_of, region_of


def maps(count=20, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 14, 18)).astype(np.float32)
    return torch.from_numpy(np.stack([cv2.GaussianBlur(n, (5, 5), 0) for n in noise])) * 5


def test_regions_are_connected_components():
    logits = maps()
    for one in logits:
        labels = cv2.connectedComponents((one > 0).numpy().astype(np.uint8), connectivity=8)[1]
        seed = one.flatten().argmax()
        region = region_of(one[None] > 0, seed[None])[0].numpy()
        assert (region == (labels == labels.flat[int(seed)])).all()


def test_every_region_is_found_highest_first():
    logits = maps()
    rows, shown, peaks = peaks_of(logits, most=50, least=0.0)
    for k, one in enumerate(logits):
        number, labels = cv2.connectedComponents((one > 0).numpy().astype(np.uint8),
                                                 connectivity=8)
        own = torch.nonzero(rows == k)[:, 0]
        assert len(own) == number - 1
        expected = sorted((one.numpy()[labels == i].max() for i in range(1, number)),
                          reverse=True)
        assert peaks[own].tolist() == pytest.approx(expected)
        for i in own:       # only its own region is left above zero
            kept = shown[i] > 0
            assert len(np.unique(labels[kept.numpy()])) == 1
            assert torch.equal(shown[i][kept], one[kept])
            assert torch.equal(shown[i][one <= 0], one[one <= 0])
    assert rows.tolist() == sorted(rows.tolist())


def test_one_region_leaves_the_map_as_it_is():
    logits = torch.full((2, 6, 6), -3.0)
    logits[0, 1:3, 2:4] = 2.0
    logits[1, 4, 4] = -1.0           # nothing above: the highest cell stands for all
    rows, shown, peaks = peaks_of(logits, most=4, least=0.0)
    assert rows.tolist() == [0, 1] and peaks.tolist() == [2.0, -1.0]
    assert torch.equal(shown, logits)


def test_no_more_than_asked_for():
    logits = torch.full((1, 5, 9), -3.0)
    logits[0, 2, ::2] = torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0])
    rows, _, peaks = peaks_of(logits, most=3, least=0.0)
    assert rows.tolist() == [0, 0, 0] and peaks.tolist() == [5.0, 4.0, 3.0]
