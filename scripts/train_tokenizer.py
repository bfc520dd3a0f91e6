"""Train the tokenizer that metapeft ships: small, lower-casing, byte-level, so that no text is unknown to it.

It is trained on the tasks of `recipes/synthetic_text.yaml`; the same recipe and generators give the same bytes.

    python scripts/train_tokenizer.py [OUT_DIRECTORY]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from metapeft import strict_yaml
from metapeft.recipes.schema import Recipe, SyntheticSource
from metapeft.sources.grammar import generate

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "metapeft" / "tokenization" / "default"
VOCABULARY = 8192
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]  # [PAD] first: its id is 0
CONFIG = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "model_max_length": 512,
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "tokenizer_class": "PreTrainedTokenizerFast",
}


def texts() -> Iterator[str]:
    """Every text of the support pools of every synthetic text task."""
    recipe = Recipe.model_validate(strict_yaml.load(ROOT / "recipes" / "synthetic_text.yaml"))
    for task in recipe.tasks:
        for variant in task.variants():
            source = variant.source
            assert isinstance(source, SyntheticSource)
            for row in generate(source.generator, source.params, source.size["support"], source.seed, "support"):
                if "tokens" in row:
                    yield " ".join(row["tokens"])
                else:
                    yield from (row[field] for field in ("text", "target", "schema") if field in row)


def train(out: Path = OUT) -> int:
    """Train, write `tokenizer.json` and `tokenizer_config.json`, and return the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    # a space before the first word makes it the same token as in mid-sentence
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    (out / "tokenizer_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    return tokenizer.get_vocab_size()


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    size = train(out)
    print(f"{size} tokens, {(out / 'tokenizer.json').stat().st_size} bytes, in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
