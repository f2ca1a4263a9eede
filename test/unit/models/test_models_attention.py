"""Our backward pass of attention against PyTorch's in float32."""
import pytest

torch = pytest.importorskip('torch')
from torch.nn import functional

from ris_ros.models import attention
from ris_ros.models.attention import attend


def gradients(function, made, mask):
    """Return the result and the gradients of all three inputs."""
    inputs = [x.clone().requires_grad_() for x in made]
    out = function(*inputs, attn_mask=mask)
    torch.manual_seed(1)
    out.backward(torch.randn(out.shape).to(out.dtype))
    return [out, *(x.grad for x in inputs)]


def rows(mask, shape):
    """Return a mask that leaves every query something to look at."""
    return (torch.rand(*shape) > 0.4).index_fill_(-1, torch.tensor([0]), True) if mask else None


@pytest.mark.parametrize(('mask', 'shape'), [
    (False, ()), (True, (2, 1, 1, 9)), (True, (1, 3, 1, 9)), (True, (7, 9)), (True, (2, 3, 7, 9))])
@pytest.mark.parametrize('scores', [1, 1 << 20])
def test_gradients_are_those_of_plain_attention(mask, shape, scores, monkeypatch):
    monkeypatch.setattr(attention, 'SCORES', scores)
    torch.manual_seed(0)
    made = [torch.randn(2, n, 3, 16).transpose(1, 2).bfloat16() for n in (7, 9, 9)]
    hidden = rows(mask, shape)
    wanted = gradients(functional.scaled_dot_product_attention, [x.float() for x in made], hidden)
    calls = []
    plain = attention._Attend.apply
    monkeypatch.setattr(attention._Attend, 'apply', lambda *a: calls.append(1) or plain(*a))
    for got, expected in zip(gradients(attend, made, hidden), wanted, strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - expected).norm() < 0.02 * expected.norm()
    assert calls


def test_other_precisions_and_frozen_inputs_take_the_library(monkeypatch):
    monkeypatch.setattr(attention._Attend, 'apply', lambda *a: pytest.fail('not for these'))
    x = torch.randn(1, 2, 4, 8)
    attend(x.requires_grad_(), x, x)
    frozen = x.detach().bfloat16()
    attend(frozen, frozen, frozen)
    with torch.no_grad():
        learned = frozen.requires_grad_()
        attend(learned, learned, learned)
