"""Where and how precisely networks run."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ris_ros.lazy import require
from ris_ros.types import BadInputError

PRECISIONS = ('fp32', 'bf16', 'fp16')


def pick_device(device: str = 'auto') -> str:
    """Return 'cpu', 'cuda' or 'cuda:N' for a request; torch.device takes each of them.

    'auto' takes a GPU where there is one.  Raises BadInputError for a GPU that is not there
    (a silent CPU would look like a very slow GPU) and for any other kind of device.
    """
    kind, number = check_device(device)
    if kind == 'cpu':
        return 'cpu'
    torch = require('torch', 'models')
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == 'auto':
        return 'cuda' if there else 'cpu'
    if not there:
        raise BadInputError(f'device {device!r} was asked for, but torch finds no usable GPU on '
                            "this machine; use device 'cpu' or 'auto'")
    if number is not None and number >= there:
        raise BadInputError(f'there is no GPU {number}: this machine has {there}, and they count '
                            'from 0')
    return kind if number is None else f'cuda:{number}'


def check_device(device: str) -> tuple[str, int | None]:
    """Return the kind ('auto', 'cpu' or 'cuda') and the GPU's number of a request.

    Says nothing of whether the device is there.  Raises BadInputError for any other text.
    """
    kind, colon, index = device.partition(':') if isinstance(device, str) else ('', '', '')
    number = int(index) if index.isascii() and index.isdecimal() else None
    if kind == 'cpu' and (not colon or number == 0):
        return 'cpu', None
    if device == 'auto' or (kind == 'cuda' and (not colon or number is not None)):
        return kind, number
    if kind == 'mps':
        raise BadInputError("device 'mps' is not supported: the networks here were never checked "
                            "on it; use device 'cpu'")
    raise BadInputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not {device!r}")


def check_precision(precision: str, device: str) -> str:
    """Return `precision`; raises BadInputError for one the device does not do."""
    if precision not in PRECISIONS:
        raise BadInputError(f'precision must be one of {", ".join(PRECISIONS)}, '
                            f'not {precision!r}')
    if precision == 'fp16' and device == 'cpu':
        raise BadInputError("precision 'fp16' needs a GPU; on a CPU use 'bf16' or 'fp32'")
    return precision


def split_choice(text: str, default: str) -> tuple[str, dict[str, str]]:
    """Return the choice for all networks, and those for single ones: 'cpu,sam=cuda:0'.

    default: the choice for all where the text has none.  Works for devices and precisions
    alike and checks neither.  Raises BadInputError where a part cannot be read.
    """
    single: dict[str, str] = {}
    for place, part in enumerate(text.split(',') if text else []):
        name, equals, value = (word.strip() for word in part.partition('='))
        if not equals and not place and name:
            default = name
        elif not (equals and name and value) or name in single:
            raise BadInputError(f'cannot read {text!r}: write one choice for all networks, then '
                                'NETWORK=CHOICE for single ones, such as cpu,sam=cuda:0')
        else:
            single[name] = value
    return default, single


@contextmanager
def autocast(device: str, precision: str, later_gradient: bool = False) -> Iterator[None]:
    """Run without gradients, and in reduced precision where asked for.

    later_gradient: the results may take part in a graph afterwards, which tensors made in
    inference mode may not.
    """
    torch = require('torch', 'models')
    with torch.no_grad() if later_gradient else torch.inference_mode():
        if precision == 'fp32':
            yield
            return
        dtype = {'bf16': torch.bfloat16, 'fp16': torch.float16}[precision]
        with torch.autocast(device.partition(':')[0], dtype=dtype):
            yield


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use that many threads of the processor, 0: as many as it does anyway."""
    if not number:
        yield
        return
    torch = require('torch', 'models')
    before = torch.get_num_threads()
    torch.set_num_threads(min(number, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_now(device: str) -> float:
    """Return a monotonic time in seconds, after the device has finished what was queued."""
    import time
    if device.startswith('cuda'):
        require('torch', 'models').cuda.synchronize(device)
    return time.perf_counter()
