"""How rows of the code datasets become programs with their tests. The rows come from the caller."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metapeft.execution.sandbox import Program


def humaneval(code: str, test: str, entry_point: str) -> Program:
    """HumanEval (Chen et al. 2021): `test` defines ``check``, which nobody calls there."""
    return Program("python", code, f"{test}\n\ncheck({entry_point})\n")


def mbpp(code: str, test_list: Sequence[str], test_setup_code: str = "") -> Program:
    """MBPP (Austin et al. 2021): a list of assertions, and what they need."""
    return Program("python", code, "\n".join([test_setup_code, *test_list]))


def humanevalpack(language: str, code: str, test: str, imports: str = "", test_setup: str = "") -> Program:
    """HumanEvalPack (Muennighoff et al. 2023), and HumanEval-X (Zheng et al. 2023): `test` calls itself."""
    return Program(language, f"{imports}\n{code}", f"{test_setup}\n{test}")


def complete(language: str, prompt: str, completion: str, entry_point: str) -> str:
    """The whole program of a completion, which may go on where `prompt` ends or write the function anew.

    Written anew, it stands alone in JavaScript, where a name cannot be declared twice. In Python it follows the prompt,
    whose imports it may use; the prompt then has to be a program as it stands, as HumanEval's is with its docstring.
    """
    name = re.escape(entry_point)
    if language == "python":
        anew = re.search(rf"^(async\s+)?def\s+{name}\b", completion, re.MULTILINE)
        return f"{prompt}\n{completion}" if anew else prompt + completion
    anew = re.search(rf"^(const|let|var|(async\s+)?function\*?)\s+{name}\b", completion, re.MULTILINE)
    return completion if anew else prompt + completion
