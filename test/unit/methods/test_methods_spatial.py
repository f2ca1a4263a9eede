"""Relations and positions, worked out by hand."""
import numpy as np
import pytest

from ris_ros.methods.spatial import (
    between_tensor,
    position_prior,
    relation_matrix,
    softmax,
    top_k,
)

# x, y, width, height: a small box on the upper left, a big one on the lower right, one inside it.
BOXES = np.array([[0, 0, 10, 10], [50, 40, 40, 30], [60, 50, 10, 10]], dtype=np.float32)


@pytest.mark.parametrize('flag, expected', [
    ('left', [[0, 1, 1], [0, 0, 0], [0, 1, 0]]),
    ('right', [[0, 0, 0], [1, 0, 1], [1, 0, 0]]),
    ('up', [[0, 1, 1], [0, 0, 0], [0, 0, 0]]),
    ('down', [[0, 0, 0], [1, 0, 0], [1, 0, 0]]),
    ('big', [[0, 0, 0], [1, 0, 1], [0, 0, 0]]),
    ('small', [[0, 1, 0], [0, 0, 0], [0, 1, 0]]),
    ('within', [[1, 0, 0], [0, 1, 1 / 12], [0, 1, 1]]),
    ('none', np.ones((3, 3))),
])
def test_relations(flag, expected):
    np.testing.assert_allclose(relation_matrix(flag, BOXES, BOXES), expected)


def test_relation_shapes_and_errors():
    assert relation_matrix('left', BOXES[:1], BOXES).shape == (1, 3)
    assert relation_matrix('near', BOXES, BOXES[:0]).shape == (3, 0)
    with pytest.raises(ValueError, match='unknown relation'):
        relation_matrix('beyond', BOXES, BOXES)
    nothing = np.zeros((1, 4))
    assert relation_matrix('within', nothing, BOXES).tolist() == [[0, 0, 0]]


def test_near_falls_with_the_gap():
    boxes = np.array([[0, 0, 10, 10], [10, 0, 10, 10], [30, 0, 10, 10], [200, 0, 10, 10]])
    near = relation_matrix('near', boxes, boxes[:1])[:, 0]
    assert near[1] == 1 and 1 > near[2] > near[3] > 0
    assert near[2] == pytest.approx(1 / (1 + 2 ** 2))


def test_between():
    anchors = np.array([[0, 0, 10, 10], [100, 0, 10, 10]], dtype=float)
    boxes = np.array([[50, 0, 10, 10], [50, 50, 10, 10], [150, 0, 10, 10]], dtype=float)
    held = between_tensor(boxes, anchors[:1], anchors[1:])[:, 0, 0]
    assert held[0] == 1 and held[1] == pytest.approx(0.5) and held[2] == 0


def test_position_priors():
    left = position_prior('left', 2, 5)
    np.testing.assert_allclose(left, [[1, .75, .5, .25, 0]] * 2)
    np.testing.assert_allclose(position_prior('right', 2, 5), left[:, ::-1])
    np.testing.assert_allclose(position_prior('up', 3, 2), [[1, 1], [.5, .5], [0, 0]])
    np.testing.assert_allclose(position_prior('bottom', 3, 1)[:, 0], [0, .5, 1])
    np.testing.assert_allclose(position_prior('top left', 3, 5),
                               position_prior('up', 3, 5) * position_prior('left', 3, 5))
    np.testing.assert_allclose(position_prior('middle', 1, 6), [[0, .5, 1, 1, .5, 0]])
    assert (position_prior('none', 3, 4) == 1).all()


def test_released_rules_have_no_vertical_prior():
    assert (position_prior('up', 4, 4, 'released') == 1).all()
    assert (position_prior('down', 4, 4, 'released') == 1).all()
    assert position_prior('left', 4, 4, 'released').min() == 0


@pytest.mark.parametrize('direction', ['left', 'middle', 'up', 'down', 'top right'])
@pytest.mark.parametrize('size', [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_priors_of_tiny_images_are_finite(direction, size):
    prior = position_prior(direction, *size)
    assert prior.shape == size and np.isfinite(prior).all()
    assert (prior >= 0).all() and (prior <= 1).all()


def test_top_k_and_softmax():
    assert top_k(np.array([1, 3, 3, 2]), 3).tolist() == [1, 2, 3]
    assert top_k(np.array([1.0]), 3).tolist() == [0]
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [.5, .5])
    assert softmax(np.zeros(0)).shape == (0,)
