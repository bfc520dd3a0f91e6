"""Who takes part in `bench_adapt.py`: each in a process of its own, told through a pipe what to run."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from metapeft.episodes import Episode
from metapeft.errors import MetapeftError

# Nothing here may import MLX at the top: one contender must come before it, to keep the BLAS away.

WAYS, SHOTS, QUERIES, STEPS = 5, 5, 15, 5
RANK, SCALE, RATE, BLOCKS = 8, 2.0, 1.0, 2  # at this rate the loss of MiniLM falls by a third in the 5 steps


@dataclass(frozen=True)
class Job:
    """What a contender gets.

    Attributes:
        folder: of the backbone.
        episodes: with numpy arrays.
        tokens: of the forward pass, int32 ``(BATCH, LENGTH)``.
        scratch: MLX keeps the kernels it compiled here.
        stock: leave MLX the BLAS of its wheel.
        adapter: where PEFT's adapter starts: metapeft's.
    """

    folder: Path
    episodes: list[Episode]
    tokens: np.ndarray
    scratch: Path
    stock: bool = False
    adapter: dict[str, dict[str, np.ndarray]] | None = None


class Unavailable(Exception):
    """A contender cannot take part, and why."""


class Metapeft:
    """Ours."""

    def __init__(self, job: Job):
        os.environ["TMPDIR"] = str(job.scratch)
        in_use = _import_mlx_without_blas() if job.stock else None
        from metapeft import blas
        from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
        from metapeft.backbones.load import load_bert
        from metapeft.heads import cosine_head
        from metapeft.meta.prefix_cache import PrefixCache
        from metapeft.mlx import mx

        self.job, self.mx, self.head = job, mx, cosine_head()
        self.backbone = load_bert(str(job.folder))
        self.adapter = random_adapter(self.backbone, LoraConfig(RANK, SCALE, BLOCKS), mx.random.key(0))
        self.depth = first_layer(self.backbone, self.adapter)
        tokens = sum(int(e.support_lengths.sum() + e.query_lengths.sum()) for e in job.episodes)
        self.cache = PrefixCache(self.backbone, self.depth, 4 * self.backbone.hidden_size * (tokens + 512))
        self.about = f"MLX {version('mlx')} on {mx.default_device()}, BLAS: {(in_use or blas.load()).name}"

    def start(self) -> dict[str, dict[str, np.ndarray]]:
        """The adapter that every episode starts from."""
        return {
            path: {name: np.array(factor) for name, factor in factors.items()} for path, factors in self.adapter.items()
        }

    def forward(self, repeats: int) -> list[float]:
        def run() -> None:
            hidden = self.backbone.prefix(self.job.tokens, None, len(self.backbone.layers))
            np.array(self.backbone.pool(hidden))

        return [_seconds(run) for _ in range(repeats)]

    def episodes(self, which: Sequence[int], steps: int = STEPS, cached: bool = False) -> list[float]:
        """Seconds of each episode, from token ids to predictions."""
        return [_seconds(lambda i=i: self._run(i, steps, cached)) for i in which]

    def _run(self, index: int, steps: int, cached: bool = False, watched: bool = False) -> tuple[np.ndarray, Any]:
        from metapeft.meta.inner_loop import adapt, episode_hidden

        episode = self.job.episodes[index]
        support, query = episode_hidden(self.backbone, episode, self.depth, self.cache if cached else None)
        adapted = adapt(
            self.backbone,
            self.adapter,
            self.head,
            support,
            steps,
            RATE,
            ways=WAYS,
            scale=SCALE,
            query=query if watched else None,
        )
        return np.argmax(np.array(adapted.predict(query.hidden)), axis=1), adapted.trace

    def outcome(self, index: int) -> tuple[np.ndarray, list[float]]:
        """Predictions, and the support loss before each step and after the last."""
        predictions, trace = self._run(index, STEPS, watched=True)
        return predictions, list(trace.support_loss)

    def parts(self, index: int) -> dict[str, float]:
        """Seconds of each part of an episode, with a wait after each."""
        from metapeft.meta.inner_loop import Examples, adapt

        mx, episode, taken = self.mx, self.job.episodes[index], {}

        def timed(name: str, work: Callable[[], Any]) -> Any:
            start = time.perf_counter()
            result = work()
            taken[name] = time.perf_counter() - start
            return result

        def prefix(x: np.ndarray, lengths: np.ndarray) -> Any:
            hidden = self.backbone.prefix(x, lengths, self.depth)
            mx.eval(hidden)
            return hidden

        def adapted(steps: int) -> Any:
            return adapt(self.backbone, self.adapter, self.head, support, steps, RATE, ways=WAYS, scale=SCALE)

        support = Examples(
            timed("prefix, support", lambda: prefix(episode.support_x, episode.support_lengths)),
            mx.array(episode.support_y),
        )
        query = timed("prefix, query", lambda: prefix(episode.query_x, episode.query_lengths))
        timed("head from support", lambda: adapted(0))
        result = timed("steps", lambda: adapted(STEPS))
        taken["steps"] -= taken["head from support"]  # the same call began with it
        timed("query", lambda: np.array(result.predict(query)))
        return taken

    def memory(self, steps: int) -> tuple[int, int]:
        """The most that MLX held at once while adapting, and the most this process ever had, in bytes."""
        _, trace = self._run(0, steps)
        return trace.peak_memory_bytes, peak_rss()

    def products(self) -> float:
        """Multiply-adds a second of a large product of matrices, the best of ten."""
        side = 1024
        a = self.mx.random.normal((side, side), key=self.mx.random.key(0))
        self.mx.eval(a)
        return side**3 / min(_seconds(lambda: self.mx.eval(a @ a)) for _ in range(10))

    def peak(self) -> int:
        return peak_rss()


def _import_mlx_without_blas() -> Any:
    """Import MLX as somebody does who does not know of the BLAS; returns what it found for itself."""
    blas: Any = importlib.import_module("metapeft.blas")
    load, blas.load = blas.load, lambda: None
    importlib.import_module("metapeft.mlx")
    blas.load = load
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blas.SlowBlasWarning)
        return load()  # too late to change anything: it only looks


class Peft:
    """The loop that one writes with PyTorch, transformers and PEFT: the whole encoder in every step."""

    def __init__(self, job: Job):
        raw = json.loads((job.folder / "config.json").read_text(encoding="utf-8"))
        if "quantization" in raw:
            raise Unavailable("transformers cannot open this backbone: its embeddings are quantized by MLX")
        try:
            peft, torch, transformers = (importlib.import_module(name) for name in ("peft", "torch", "transformers"))
        except ImportError as error:
            raise Unavailable(f"torch, transformers and peft are not all installed ({error})") from error
        warnings.simplefilter("ignore")  # what transformers deprecates is not our matter
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.job, self.torch = job, torch
        without_pooler = {} if raw["model_type"] == "distilbert" else {"add_pooling_layer": False}

        def load() -> Any:
            return transformers.AutoModel.from_pretrained(job.folder, dtype=torch.float32, **without_pooler).eval()

        self.plain = load()
        assert job.adapter is not None
        blocks = sorted({int(part) for path in job.adapter for part in path.split(".") if part.isdigit()})
        keys = {path.split(f".{blocks[0]}.")[1] for path in job.adapter if f".{blocks[0]}." in path}
        lora = {"r": RANK, "lora_alpha": int(RANK * SCALE), "lora_dropout": 0.0}
        where = {"target_modules": sorted(keys), "layers_to_transform": blocks}
        self.model = peft.get_peft_model(load(), peft.LoraConfig(**lora, **where)).eval()
        names = {"lora_a": "lora_A.default.weight", "lora_b": "lora_B.default.weight"}
        parameters = dict(self.model.named_parameters())
        self.adapter = [
            (parameters.pop(f"base_model.model.{path}.{names[name]}"), torch.tensor(factor.T.copy()))
            for path, factors in job.adapter.items()
            for name, factor in factors.items()
        ]
        assert not any(parameter.requires_grad for parameter in parameters.values()), "PEFT adapts more than we do"
        self.about = (
            f"torch {torch.__version__} ({torch.get_num_threads()} threads), transformers {transformers.__version__}, "
            f"peft {peft.__version__}"
        )

    def forward(self, repeats: int) -> list[float]:
        tokens = self.torch.tensor(self.job.tokens, dtype=self.torch.long)
        mask = self.torch.ones_like(tokens)

        def run() -> None:
            with self.torch.no_grad():
                self._pooled(self.plain, tokens, mask).numpy()

        return [_seconds(run) for _ in range(repeats)]

    def episodes(self, which: Sequence[int], steps: int = STEPS) -> list[float]:
        return [_seconds(lambda i=i: self._run(i, steps)) for i in which]

    def outcome(self, index: int) -> tuple[np.ndarray, list[float]]:
        return self._run(index, STEPS, watched=True)

    def peak(self) -> int:
        return peak_rss()

    def _begun(self, index: int) -> tuple[Any, Any, Any]:
        """Support and query texts of an episode, and the labels of the support; the adapter is where it starts."""
        episode = self.job.episodes[index]
        for parameter, start in self.adapter:
            parameter.data.copy_(start)
            parameter.grad = None
        support = self._padded(episode.support_x, episode.support_lengths)
        query = self._padded(episode.query_x, episode.query_lengths)
        return support, query, self.torch.tensor(episode.support_y, dtype=self.torch.long)

    def _run(self, index: int, steps: int, watched: bool = False) -> tuple[np.ndarray, list[float]]:
        torch = self.torch
        functional = torch.nn.functional
        support, query, labels = self._begun(index)
        with torch.no_grad():
            features = functional.normalize(self._pooled(self.model, *support), dim=1)
            means = torch.stack([features[labels == way].mean(0) for way in range(WAYS)])
            weight = 10.0 * functional.normalize(means, dim=1)
        weight.requires_grad_()
        bias = torch.zeros(WAYS, requires_grad=True)

        def logits(batch: tuple[Any, Any]) -> Any:
            return functional.linear(functional.normalize(self._pooled(self.model, *batch), dim=1), weight, bias)

        optimizer = torch.optim.SGD([*(parameter for parameter, _ in self.adapter), weight, bias], lr=RATE)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = functional.cross_entropy(logits(support), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            if watched:
                losses.append(functional.cross_entropy(logits(support), labels).item())
            return logits(query).argmax(1).numpy(), losses

    def _padded(self, x: np.ndarray, lengths: np.ndarray) -> tuple[Any, Any]:
        """Token ids as far as the longest text goes, and their mask."""
        longest = int(lengths.max())
        mask = np.arange(longest) < lengths[:, None]
        return self.torch.tensor(x[:, :longest], dtype=self.torch.long), self.torch.tensor(mask, dtype=self.torch.long)

    @staticmethod
    def _pooled(model: Any, tokens: Any, mask: Any) -> Any:
        states = model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_rss() -> int:
    """The most memory this process ever had, in bytes; 0 where that is not told."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def serve(make: Callable[[Job], Any], job: Job, pipe: Any) -> None:
    """In the child: make the contender, then do what is asked until None is."""
    try:
        contender = make(job)
        pipe.send(contender.about)
        while (request := pipe.recv()) is not None:
            method, arguments = request
            pipe.send(getattr(contender, method)(*arguments))
    except (Unavailable, MetapeftError) as error:
        pipe.send(error)
    except EOFError:
        pass  # whoever asked is gone


class Child:
    """A contender in a fresh process: it has no threads but its own, and no BLAS but its own.

    Raises:
        Unavailable: it cannot take part.
    """

    def __init__(self, make: Callable[[Job], Any], job: Job):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(make, job, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.about: str = self._answer()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the contender."""
        self._pipe.send((method, arguments))
        return self._answer()

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise MetapeftError("a contender ended before its time; what it said is above") from None
        if isinstance(answer, Exception):
            raise answer
        return answer
