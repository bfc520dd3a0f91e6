"""Whether the token ids of a suite are those of a backbone."""

from __future__ import annotations

from metapeft.errors import SuiteError
from metapeft.tasks.suite import Suite
from metapeft.tokenization.tokenizer import load_tokenizer


def tokenizer_of(backbone_name: str) -> str:
    """Name of the tokenizer that belongs to a backbone, as `load_tokenizer` and ``tokenizer=`` take it."""
    return "default" if backbone_name == "nano" else backbone_name


def check_tokenizer(suite: Suite, backbone_name: str) -> None:
    """Refuse a suite whose texts were tokenized for another backbone: its ids would be read as other words.

    Tokenizers are compared by digest, so the same one under two names passes.

    Args:
        suite: opened; points have no tokens, so do not ask for them.
        backbone_name: "nano", a folder or a Hub id.

    Raises:
        SuiteError: the digests differ; the message names the build command that mends it.
        SourceError: the backbone's tokenizer is not there, or has no fast form.
    """
    wanted = load_tokenizer(tokenizer_of(backbone_name))
    found = suite.manifest["tokenizer"]
    if found["sha256"] == wanted.sha256:
        return
    recipe = suite.manifest["stands_in_for"] or suite.manifest["name"]
    data = " data=synthetic" if suite.manifest["stands_in_for"] else ""
    raise SuiteError(
        f"{suite.path}: its texts were tokenized with '{found['name']}' ({found['sha256'][:12]}), backbone "
        f"'{backbone_name}' reads token ids of '{wanted.name}' ({wanted.sha256[:12]})\n"
        f"  build it for this backbone: python -m metapeft.build recipe={recipe}{data} tokenizer={wanted.name} "
        f"out={suite.path}-{backbone_name.rstrip('/').rpartition('/')[2]}"
    )
