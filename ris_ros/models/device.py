"""Where and how precisely networks run."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ris_ros.lazy import require
from ris_ros.types import BadInputError

PRECISIONS = ('fp32', 'bf16', 'fp16')


def pick_device(device: str = 'auto') -> str:
    """Return 'cuda' or 'cpu' (or 'cuda:1' and the like) for a request.

    'auto' takes a GPU where there is one.  Raises BadInputError for a GPU that is not there:
    a silent CPU would look like a very slow GPU.
    """
    torch = require('torch', 'models')
    if device == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    kind, _, index = device.partition(':')
    if kind not in ('cpu', 'cuda') or (index and not index.isdigit()):
        raise BadInputError(f"device must be 'auto', 'cpu' or 'cuda', not {device!r}")
    if kind == 'cuda' and not torch.cuda.is_available():
        raise BadInputError('there is no usable GPU on this machine; '
                            "use device 'cpu' or 'auto'")
    if kind == 'cuda' and index and int(index) >= torch.cuda.device_count():
        raise BadInputError(f'there is no GPU {index}; this machine has '
                            f'{torch.cuda.device_count()}')
    return device


def check_precision(precision: str, device: str) -> str:
    """Return `precision`; raises BadInputError for one the device does not do."""
    if precision not in PRECISIONS:
        raise BadInputError(f'precision must be one of {", ".join(PRECISIONS)}, '
                            f'not {precision!r}')
    if precision == 'fp16' and device == 'cpu':
        raise BadInputError("precision 'fp16' needs a GPU; on a CPU use 'bf16' or 'fp32'")
    return precision


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
        require('torch', 'models').cuda.synchronize()
    return time.perf_counter()
