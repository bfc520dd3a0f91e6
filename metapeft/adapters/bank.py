"""Many adapters on one backbone, and a mixed-task batch of them in one call."""

from __future__ import annotations

from collections.abc import Sequence

from metapeft.adapters.lora import check_adapter, form, rescaled, stack
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.errors import AdapterError, did_you_mean
from metapeft.mlx import mx


class AdapterBank:
    """Named adapters of one form (same paths, shapes and dtypes), kept as one tree with a leading axis.

    Adapters are arguments of the backbone, so swapping them is passing another tree: nothing is loaded, merged or
    undone, and going from A to B and back to A gives exactly what A gave.

    Args:
        backbone: the network they are for.
        scale: the scale to pass to the backbone with any adapter of this bank; not 0.
    """

    def __init__(self, backbone: Backbone, scale: float = 1.0):
        if scale == 0:
            raise AdapterError("scale: 0 switches every adapter of the bank off")
        self.backbone = backbone
        self.scale = scale
        self._names: list[str] = []
        self._stacked: Adapter = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters, in the order in which they were added."""
        return tuple(self._names)

    def add(self, name: str, adapter: Adapter, scale: float | None = None) -> None:
        """Add an adapter, or replace the one of that name.

        Args:
            name: any text.
            adapter: without a leading axis.
            scale: what it was trained with, if that is not the bank's scale; the difference goes into ``lora_b``.

        Raises:
            AdapterError: it does not fit the backbone, or is not of the form of those already here.
        """
        check_adapter(self.backbone, adapter)
        adapter = rescaled(adapter, self.scale if scale is None else scale, self.scale)
        added = stack([adapter])
        others = [other for other in self._names if other != name]
        if others:
            if form(self[others[0]]) != form(adapter):
                raise AdapterError(
                    f"'{name}' is not of the form of '{others[0]}': adapters of one bank have the same paths, shapes "
                    "and dtypes\n  put it in another bank"
                )
            kept = self._stacked if len(others) == len(self._names) else self.gather(others)
            added = {
                path: {key: mx.concatenate([kept[path][key], value]) for key, value in factors.items()}
                for path, factors in added.items()
            }
        self._hold([*others, name], added)

    def remove(self, name: str) -> None:
        """Forget an adapter.

        Raises:
            AdapterError: there is none of that name.
        """
        self._row(name)
        others = [other for other in self._names if other != name]
        self._hold(others, self.gather(others) if others else {})

    def __getitem__(self, name: str) -> Adapter:
        """The adapter of that name, without a leading axis; `AdapterError` where there is none."""
        row = self._row(name)
        return {path: {key: value[row] for key, value in factors.items()} for path, factors in self._stacked.items()}

    def gather(self, names: Sequence[str]) -> Adapter:
        """One adapter an example: a tree whose leading axis follows `names`, for a batch of mixed tasks.

        Raises:
            AdapterError: a name that is not here, or no names.
        """
        if not names:
            raise AdapterError("no names: gather takes one for each example of the batch")
        row_of = {name: self._row(name) for name in set(names)}
        rows = mx.array([row_of[name] for name in names])
        return {
            path: {key: mx.take(value, rows, axis=0) for key, value in factors.items()}
            for path, factors in self._stacked.items()
        }

    def _hold(self, names: list[str], stacked: Adapter) -> None:
        mx.eval(stacked)  # otherwise the graph, and the arrays it keeps alive, would grow with every call
        self._names, self._stacked = names, stacked

    def _row(self, name: str) -> int:
        if name not in self._names:
            raise AdapterError(f"no adapter '{name}' in the bank.{did_you_mean(name, self._names)}")
        return self._names.index(name)
