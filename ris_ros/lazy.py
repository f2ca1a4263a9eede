"""Import optional heavy libraries at first use, with an error that says what to install."""
from __future__ import annotations

import importlib
from types import ModuleType

from ris_ros.types import MissingDependencyError


def require(module: str, extra: str) -> ModuleType:
    """Return the imported `module`.

    Raises MissingDependencyError, naming the pip extra, when it is absent or broken (a
    torchvision that does not fit torch raises RuntimeError at import, hence the width).
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingDependencyError(
            f'{module} cannot be imported ({error}); '
            f'install it with: pip install "ris_ros[{extra}]"') from error
