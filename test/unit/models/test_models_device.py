"""Where networks run: one reading of a request, and never a silent CPU."""
import pytest

torch = pytest.importorskip('torch')

from ris_ros.models.device import check_precision, pick_device, split_choice
from ris_ros.types import BadInputError


def gpus(monkeypatch, number):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: number > 0)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: number)


@pytest.mark.parametrize('asked, got', [('auto', 'cuda'), ('cuda', 'cuda'), ('cuda:0', 'cuda:0'),
                                        ('cuda:1', 'cuda:1'), ('cpu', 'cpu'), ('cpu:0', 'cpu')])
def test_what_is_there(asked, got, monkeypatch):
    gpus(monkeypatch, 2)
    assert pick_device(asked) == got
    torch.device(got)


def test_auto_without_a_gpu_is_the_cpu(monkeypatch):
    gpus(monkeypatch, 0)
    assert pick_device('auto') == pick_device() == 'cpu'
    # A driver without a device.
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert pick_device('auto') == 'cpu'
    with pytest.raises(BadInputError, match='no usable GPU'):
        pick_device('cuda')


@pytest.mark.parametrize('asked', ['cuda', 'cuda:0', 'cuda:1'])
def test_a_gpu_that_is_not_there_is_an_error(asked, monkeypatch):
    gpus(monkeypatch, 0)
    with pytest.raises(BadInputError, match=f"'{asked}' was asked for, but torch finds no usable"):
        pick_device(asked)


def test_a_number_that_is_not_there(monkeypatch):
    gpus(monkeypatch, 1)
    with pytest.raises(BadInputError, match='there is no GPU 1: this machine has 1'):
        pick_device('cuda:1')
    with pytest.raises(BadInputError, match='no GPU 99999999999999999999'):
        pick_device('cuda:99999999999999999999')


@pytest.mark.parametrize('asked', ['tpu', '', 'cuda:', 'cuda:-1', 'cuda:x', 'cuda:1:2', 'cuda:1.0',
                                   'cuda:²', 'cuda:١', 'cpu:1', 'cpu:', 'CUDA', ' cpu', 'auto:0',
                                   'xpu', 'hip:0', 'meta', None, 0])
def test_anything_else_is_refused(asked, monkeypatch):
    gpus(monkeypatch, 2)
    with pytest.raises(BadInputError, match='device must be'):
        pick_device(asked)


def test_apples_gpu_is_refused_with_the_reason():
    with pytest.raises(BadInputError, match="'mps' is not supported"):
        pick_device('mps')


def test_precisions():
    assert [check_precision(p, 'cpu') for p in ('fp32', 'bf16')] == ['fp32', 'bf16']
    assert check_precision('fp16', 'cuda:1') == 'fp16'
    with pytest.raises(BadInputError, match='needs a GPU'):
        check_precision('fp16', 'cpu')
    with pytest.raises(BadInputError, match='one of fp32, bf16, fp16'):
        check_precision('int8', 'cpu')


def test_choices_for_single_networks():
    assert split_choice('', 'auto') == ('auto', {})
    assert split_choice('cpu', 'auto') == ('cpu', {})
    assert split_choice('cpu,sam=cuda:0, clip = cuda:1', 'auto') == (
        'cpu', {'sam': 'cuda:0', 'clip': 'cuda:1'})
    assert split_choice('sam=bf16', 'fp32') == ('fp32', {'sam': 'bf16'})
    for text in ('cpu,cuda', 'sam=', '=cpu', 'cpu,', ',cpu', 'sam=cpu,sam=cuda', 'sam=cpu,cuda'):
        with pytest.raises(BadInputError, match='cannot read'):
            split_choice(text, 'auto')
