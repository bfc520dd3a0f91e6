"""MLX, with the BLAS in front of it: `from metapeft.mlx import mx, nn` is how every module here gets MLX.

On Linux the BLAS must be loaded before the first import of MLX (see `blas`), so nothing else may import it directly;
a test looks.
"""

from __future__ import annotations

import sys

from metapeft import allocator, blas
from metapeft.errors import MetapeftError

REMEDY = (
    'install a backend: pip install "metapeft[cpu]" (Linux), "metapeft[cuda12]" or "metapeft[cuda13]" (NVIDIA)'
    if sys.platform == "linux"
    else "MLX needs a Mac with Apple silicon, macOS 14 or newer and an arm64 Python: pip install mlx"
)

blas.load()
allocator.keep_freed_memory()
try:
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim
    import mlx.utils as utils
except ImportError as error:
    # the wheel `mlx` is a shell: the library itself, libmlx, comes with mlx-cpu, mlx-cuda-… or mlx-metal
    missing = ("No module named 'mlx", "libmlx.so: cannot open", "libmlx.dylib")
    reason = "no MLX backend is installed" if any(m in str(error) for m in missing) else "MLX cannot be imported"
    raise MetapeftError(f"{reason}: {error}\n  {REMEDY}") from error

__all__ = ["mx", "nn", "optim", "utils"]
