"""Any causal language model of mlx-lm as a backbone, quantized ones too; first order.

None of mlx-lm's architectures is written again here. Its modules stay what and where they are; the calls of three kinds
of them are hooked, once, when the model is loaded:

- a linear map adds the low-rank term of the pass that is going on, whose factors are plain (traced) arrays;
- a block can stand aside, in a pass that runs only the blocks below it or only those above;
- the body, which owns the blocks and ends with the final norm, ends a pass by handing out its hidden states.

A block below the cached states gives `GONE`, on which no operation works. So where an architecture's blocks hand over
more than one array of hidden states, or run twice, a pass cut at a block fails, in place of giving wrong numbers. That
is tried when the model is loaded; such a model runs whole each time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from metapeft.backbones.backbone import Adapter, relative
from metapeft.backbones.low_rank import low_rank
from metapeft.backbones.packing import real_tokens
from metapeft.errors import AdapterError, BackboneError
from metapeft.mlx import mx, nn, utils

# What mlx-lm calls the maps to query and value, last part of the path; the first group that a model has is the default.
QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("qkv_proj",),
    ("query_key_value",),
    ("Wqkv",),
    ("wqkv",),
    ("c_attn",),
    ("W_pack",),
    ("att_proj",),
    ("c_q", "c_v"),
    ("attn_query", "attn_value"),
    ("q_b_proj", "kv_a_proj_with_mqa"),  # latent attention (DeepSeek-V2, 2024)
    ("q_proj", "kv_a_proj_with_mqa"),
)
Plain = Callable[..., Any]
GONE = object()  # what a block gives that lies below the cached states


class Causal(NamedTuple):
    """What lies between `prefix` and `suffix`.

    Attributes:
        states: hidden states, the model's own shape and dtype, ``(n, length, d)`` after `suffix`; empty at depth 0,
            where embedding the tokens again is all there is to do.
        tokens: int32 ``(n, length)``, 0 for padding. Masks and whatever else the model makes of them are made again.
        last: place of each text's last token, int32 ``(n,)``.
        said: which states say a token that is to be learned, places in the flat ``(n * length,)``, int32 ``(u,)``; None
            where a text is one unit.
    """

    states: mx.array
    tokens: mx.array
    last: mx.array
    said: mx.array | None = None


@dataclass
class _Pass:
    """One forward pass, and what it does otherwise than the model alone would.

    Attributes:
        adapter, scale: for the linear maps.
        stop: end after so many blocks; 0: after the body.
        resume: so many blocks are done, and gave `states`.
        final: the body is done, and gave this.
        to_logits: the head runs too, as in the model alone.
        entered: how many blocks were entered so far.
        called: paths of the linear maps that were called.
    """

    adapter: Adapter = field(default_factory=dict)
    scale: float = 1.0
    examples: int = 0
    stop: int = 0
    resume: int = 0
    states: mx.array | None = None
    final: mx.array | None = None
    to_logits: bool = False
    entered: int = 0
    called: set[str] = field(default_factory=set)


class _Ended(Exception):
    """Carries hidden states out of the model, past all that is left to do."""

    def __init__(self, states: Any):
        self.states = states


class Decoder:
    """A frozen causal language model; see `Backbone`. One pass at a time: passes may not run in several threads.

    `pool` gives the hidden state of each text's last token: with causal attention it is the only one that has seen the
    whole text. Padding on the right is in the future of every token, so it never changes a result.

    Args:
        model: mlx-lm's, loaded. Its calls are hooked; used alone, it goes on to work as before.
        model_type: its architecture.
        name: as the user gave it.
        digest: sha256 of config and weights.
        max_positions: the longest text; None where there is no bound.
        ends: ids of the tokens that end a text; empty where its config names none.

    Attributes:
        is_cut: whether `prefix` runs blocks. Where it is False, `suffix` runs the whole model: dearer, the same result.

    Raises:
        BackboneError: the architecture's head cannot be told from its body, or it has no linear maps.
    """

    def __init__(
        self,
        model: nn.Module,
        model_type: str,
        name: str,
        digest: str,
        max_positions: int | None = None,
        ends: Sequence[int] = (),
    ):
        self.name, self.model_type, self.digest, self.max_positions = name, model_type, digest, max_positions
        self.ends = tuple(ends)
        refuse = f"backbone '{name}': architecture '{model_type}' of mlx-lm cannot be adapted here"
        self._model = model
        self._pass: _Pass | None = None
        # Some recurrent blocks use a kernel without a derivative unless they are trained. Nothing is dropped out by it:
        # mlx-lm's models have no dropout.
        model.train()
        try:
            self._hook_modules()
            self._try_passes()
        except BackboneError as error:
            raise BackboneError(f"{refuse}: {error}") from error
        except Exception as error:
            raise BackboneError(f"{refuse}: {type(error).__name__}: {error}") from error
        if not self.adaptable:
            raise BackboneError(f"{refuse}: it has no plain linear maps")

    def _hook_modules(self) -> None:
        owner, blocks = _blocks_of(self._model)
        self.layers = tuple(f"{owner}.{i}" for i in range(len(blocks)))
        modules = dict(self._model.named_modules())
        inside = [f"{path}.{name}" for path, block in zip(self.layers, blocks, strict=True) for name in _leaves(block)]
        heads = [path for path in modules if path.rpartition(".")[2] == "lm_head"]
        linear = [path for path in inside + heads if isinstance(modules[path], nn.Linear | nn.QuantizedLinear)]
        self.adaptable = {path: _size(modules[path]) for path in linear}
        for path in linear:
            _hook(modules[path], partial(self._call_linear, path))
        for index, block in enumerate(blocks):
            _hook(block, partial(self._call_block, index))
        _hook(modules[owner.rpartition(".")[0]], self._call_body)

    def _call_linear(self, path: str, plain: Plain, x: mx.array) -> mx.array:
        out, on = plain(x), self._pass
        if on is None:
            return out
        on.called.add(path)
        factors = on.adapter.get(path)
        if factors is None:
            return out
        if factors["lora_a"].ndim == 3 and x.shape[0] != on.examples:
            raise AdapterError(f"{path}: sees tokens of all examples in one row; use one adapter at a time")
        return out + low_rank(x, factors, on.scale)

    def _call_block(self, index: int, plain: Plain, *args: Any, **kwargs: Any) -> Any:
        on = self._pass
        if on is None or not (on.stop or on.resume):
            return plain(*args, **kwargs)
        if on.entered != index:
            raise BackboneError("its blocks do not run one after the other, once each")
        on.entered += 1
        if on.entered < on.resume:
            return GONE
        out = on.states if on.entered == on.resume else plain(*args, **kwargs)
        if not isinstance(out, mx.array):
            raise BackboneError("its blocks hand over more than hidden states")
        if on.entered == on.stop:
            raise _Ended(out)
        return out

    def _call_body(self, plain: Plain, *args: Any, **kwargs: Any) -> Any:
        on = self._pass
        if on is None or on.to_logits:
            return plain(*args, **kwargs)
        if on.final is not None:
            return on.final
        states = plain(*args, **kwargs)
        if on.stop or (on.resume and on.entered != len(self.layers)):
            raise BackboneError("its blocks are not run as they are listed")
        raise _Ended(states)

    def _try_passes(self) -> None:
        """Build (but do not compute) each pass that `prefix`, `suffix` and `logits` can make."""
        tokens = mx.zeros((1, 2), mx.int32)
        body = _Pass()
        final = self._run(tokens, body)
        if not isinstance(final, mx.array) or final.ndim != 3:
            raise BackboneError("its body gives no hidden states")
        head = _Pass(final=final)
        logits = self._run(tokens, head)
        if logits is final:
            raise BackboneError("its body gives logits, and no hidden states")
        self.hidden_size, self.vocab_size = final.shape[-1], logits.shape[-1]
        # A map may be listed and never called, such as one of which the model reads the weights.
        called = body.called | head.called
        self.adaptable = {path: size for path, size in self.adaptable.items() if path in called}
        try:
            for depth in range(1, len(self.layers)):
                states = self._run(tokens, _Pass(stop=depth))
                self._run(tokens, _Pass(resume=depth, states=states))
            self.is_cut = True
        except Exception:  # whatever an architecture does to GONE
            self.is_cut = False

    @property
    def default_keys(self) -> tuple[str, ...]:
        """The maps to query and value.

        Raises:
            BackboneError: the model has none under a name that is usual in mlx-lm.
        """
        keys = dict.fromkeys(key for path in self.adaptable if (key := relative(path, self.layers)) != path)
        for group in QUERY_AND_VALUE:
            found = tuple(key for key in keys if key.rpartition(".")[2] in group)
            if {key.rpartition(".")[2] for key in found} == set(group):
                return found
        raise BackboneError(
            f"backbone '{self.name}': no map to query and value under a usual name; name the keys to adapt\n"
            f"  known: {', '.join(keys)}"
        )

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Causal:
        """Run the model below block `depth` on tokens int32 ``(n, length)`` of these lengths (None: all of `length`).

        Raises:
            BackboneError: a text is too long, or a token id is not in the vocabulary.
        """
        tokens, lengths = real_tokens(x, lengths, self.vocab_size, self.max_positions, self.name)
        hidden = Causal(mx.zeros((0,)), mx.array(tokens), mx.array(np.maximum(lengths - 1, 0).astype(np.int32)))
        if depth == len(self.layers):
            return hidden._replace(states=self._run(hidden.tokens, _Pass()))
        if depth == 0 or not self.is_cut:
            return hidden
        return hidden._replace(states=self._run(hidden.tokens, _Pass(stop=depth)))

    def suffix(self, hidden: Causal, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> Causal:
        """Run blocks `depth` and up with adapters; `states` of the result are the final hidden states, normed."""
        if depth == len(self.layers):
            return hidden
        resume = depth if self.is_cut else 0
        adapted = _Pass(adapter or {}, scale, len(hidden.tokens), resume=resume, states=hidden.states)
        return hidden._replace(states=self._run(hidden.tokens, adapted))

    def logits(self, hidden: Causal, adapter: Adapter | None = None, scale: float = 1.0) -> mx.array:
        """The model's head on final hidden states: ``(n, length, vocab_size)``; adapters may have an ``lm_head``."""
        head = _Pass(adapter or {}, scale, len(hidden.tokens), final=hidden.states)
        return self._run(hidden.tokens, head)

    def vocabulary_logits(self, features: mx.array) -> mx.array:
        """The model's head on single states ``(u, d)`` of its body: ``(u, vocab_size)``."""
        placeholders = mx.zeros((1, features.shape[0]), mx.int32)  # the head sees states, and no token
        return self._run(placeholders, _Pass(final=features[None]))[0]

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter | None = None,
        scale: float = 1.0,
        *,
        most: int | Sequence[int] = 128,
        sampler: Callable[[mx.array], mx.array] | None = None,
    ) -> list[list[int]]:
        """Continue prompts, with keys and values kept, in batches (mlx-lm's `BatchGenerator`).

        Args:
            prompts: token ids, at least one each.
            adapter: without a leading axis; None for the frozen model.
            scale: of the adapter.
            most: tokens to write at most, for all or for each.
            sampler: from log-probabilities ``(n, vocab_size)`` to tokens ``(n,)``; None takes the likeliest.

        Returns:
            The tokens written after each prompt, without the one that ends a text.

        Raises:
            BackboneError: a prompt is empty, or it and what may be written are longer than the model reads.
        """
        limits = [most] * len(prompts) if isinstance(most, int) else list(most)
        longest = max((len(p) + m for p, m in zip(prompts, limits, strict=True)), default=0)
        if not all(len(prompt) for prompt in prompts):
            raise BackboneError(f"backbone '{self.name}': an empty prompt cannot be continued")
        if self.max_positions is not None and longest > self.max_positions:
            raise BackboneError(
                f"backbone '{self.name}': a prompt and what may be written after it have {longest} tokens, it reads "
                f"{self.max_positions}"
            )
        from mlx_lm.generate import BatchGenerator

        stops = [[end] for end in self.ends]
        with self._adapted(_Pass(adapter or {}, scale, to_logits=True)):
            generator = BatchGenerator(self._model, stop_tokens=stops, sampler=sampler)
            places = generator.insert([list(map(int, prompt)) for prompt in prompts], limits)
            written: dict[int, list[int]] = {place: [] for place in places}
            while responses := generator.next_generated():
                for response in responses:
                    if response.finish_reason != "stop":
                        written[response.uid].append(int(response.token))
            generator.close()
        return [written[place] for place in places]

    def pool(self, hidden: Causal) -> mx.array:
        """Hidden state of each text's last token, float32 ``(n, d)``; of the places in `said`, ``(u, d)``."""
        if hidden.said is not None:
            return hidden.states.reshape(-1, hidden.states.shape[-1])[hidden.said].astype(mx.float32)
        return hidden.states[mx.arange(len(hidden.last)), hidden.last].astype(mx.float32)

    def _run(self, tokens: mx.array, on: _Pass) -> mx.array:
        with self._adapted(on):
            try:
                return self._model(tokens)
            except _Ended as ended:
                return ended.states

    @contextmanager
    def _adapted(self, on: _Pass) -> Generator[None]:
        """Within it the model's calls are those of this pass."""
        self._pass = on
        try:
            yield
        finally:
            self._pass = None


def _hook(module: nn.Module, call: Callable[..., Any]) -> None:
    """Make ``module(x)`` give ``call(plain, x)``, where `plain` is what the call was before.

    The module gets a subclass of its own class and keeps all else: models look at the class and attributes of a block,
    and at a map's weights.
    """
    kind = type(module)

    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(partial(kind.__call__, self), *args, **kwargs)

    module.__class__ = type(kind.__name__, (kind,), {"__call__": hooked})


def _blocks_of(model: Any) -> tuple[str, list[Any]]:
    """The list that `model.layers` shows, and its path: ``model.layers``, ``transformer.h`` …"""
    shown = model.layers
    for path, module in model.named_modules():
        for name, value in module.items():
            same = isinstance(value, list) and len(value) == len(shown)
            if same and all(a is b for a, b in zip(value, shown, strict=True)):
                return f"{path}.{name}".removeprefix("."), value
    raise BackboneError("it has no list of blocks")


def _leaves(block: nn.Module) -> list[str]:
    """Paths of a block's parts that have no parts, as they are written down."""
    return [path for path, _ in utils.tree_flatten(block.leaf_modules(), is_leaf=nn.Module.is_module)]


def _size(linear: Any) -> tuple[int, int]:
    """``(d_in, d_out)``; a packed weight is narrower than what it stands for."""
    d_out, d_in = linear.weight.shape
    return (linear.scales.shape[-1] * linear.group_size if "scales" in linear else d_in), d_out
