"""Find, on the CPU, the operations of a training step that would wait for a GPU."""
import traceback

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Reading a value, results whose size depends on values, constants copied from the host.
WAITING = {'_local_scalar_dense', 'is_nonzero', 'nonzero', 'masked_select', 'equal', 'lift_fresh',
           '_unique2', 'unique_dim', 'bincount'}


class Waits(TorchDispatchMode):
    """While active, notes every waiting operation with the line of ours that asked for it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Note the operation and run it."""
        name = func.overloadpacket.__name__
        by_mask = name in ('index', 'index_put', 'index_put_') and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if name in WAITING or by_mask:
            line = next((f'{f.filename}:{f.lineno}' for f in reversed(traceback.extract_stack())
                         if '/ris_ros/' in f.filename), '?')
            self.found.append(f'{name}{" by mask" if by_mask else ""} at {line}')
        return func(*args, **(kwargs or {}))


def waits_of(task, batch, fraction, optimiser=None):
    """Return what in the loss of a task, its gradient and a step would wait for a GPU."""
    with Waits() as waits:
        loss = task.loss(batch, fraction)
        (loss[0] if isinstance(loss, tuple) else loss).backward()
        if optimiser is not None:
            torch.nn.utils.clip_grad_norm_(optimiser.parameters, 1.0)
            optimiser.step()
    return waits.found
