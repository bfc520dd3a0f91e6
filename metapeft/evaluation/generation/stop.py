"""Where an output ends: a model that was not trained to stop goes on with the next example, or with an explanation.

The rules look at the output alone, so they serve every method alike. Of the recipes' references they change one: a
summary of dialogsum on two lines.
"""

from __future__ import annotations

import re

from metapeft.evaluation.generation.rows import PROGRAMS, Style

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"\n")
_BLANK = re.compile(r"\n[ \t\r]*\n")
# In SQL: what may hide a semicolon, or one.
_SQL_PART = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/|;""", re.DOTALL)
_QUERY_COMMENT = re.compile(r"\n[ \t]*--")
_PYTHON_BLOCK = re.compile(r"@|(?:async\s+def|def|class)\b")
_PYTHON_BEGINS = re.compile(r"@|(?:async\s+def|def|class|import|from)\b|\w+\s*=")
_TRIPLE = re.compile(r'"""|\'\'\'')
_JAVASCRIPT_BEGINS = re.compile(r"(?:const|let|var|function|async|class|module|exports)\b")


def trim(text: str, style: Style, domain: str) -> str:
    """The output in a raw continuation of a prompt.

    - ``abstractive``: up to the first line break
    - ``extractive``, ``bullets``, ``documentation``: up to the first blank line
    - ``query``: up to the first semicolon outside quotes, with it, or a blank line, or a line that is a comment
    - ``completion`` and ``bugfix`` in Python, first line indented (the rest of a function): up to the first line that
      is not. Otherwise up to a comment at the left edge, after a function or class up to what is neither at the left
      edge, and before any up to a blank line that no definition, import or assignment follows. Lines within strings of
      three quotes do not count.
    - in JavaScript, first line indented: up to the brace at the left edge that closes the function. Otherwise up to a
      comment at the left edge that comes after code, and after a closing brace at the left edge up to what is no
      declaration
    - in other languages: up to the brace that closes the first one, or a blank line

    Of a program or query between fences (three backticks) only what the first pair encloses is read. Line breaks before
    the output and white space after it are dropped; white space before it, too, where it is a text.

    Args:
        text: what the model wrote after the prompt.
        style: of the task.
        domain: of the task; the language of its programs.

    Returns:
        A part of `text`. Trimming twice is trimming once.
    """
    if style not in PROGRAMS:
        text = text.strip()
        return _until(_LINE if style == "abstractive" else _BLANK, text)
    fenced = _FENCE.search(text)
    text = _without_blank_lines(fenced.group(1) if fenced else text)
    if style == "query":
        end = next((part.end() for part in _SQL_PART.finditer(text) if part.group() == ";"), len(text))
        return min(_until(_BLANK, text[:end]), _until(_QUERY_COMMENT, text[:end]), key=len)
    rule = {"python": _python, "javascript": _javascript}.get(domain, _braces)
    return rule(text).rstrip()


def _without_blank_lines(text: str) -> str:
    """Without blank lines before and white space after; the first line keeps its indentation."""
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", text).rstrip()


def _until(end: re.Pattern[str], text: str) -> str:
    found = end.search(text)
    return text[: found.start()].rstrip() if found else text


def _python(text: str) -> str:
    lines = text.split("\n")
    if lines[0][:1].isspace():
        return "\n".join(_indented(lines))
    kept: list[str] = []
    quoted = block = False
    for place, line in enumerate(lines):
        if line.strip() and not line[0].isspace() and not quoted:
            code = [each for each in kept if each.strip() and not each.startswith("#")]
            head = bool(code) and code[-1].rstrip().endswith(":")  # its body is to come
            if code and line.startswith("#"):
                leaves = not head
            elif block:
                leaves = not _closes_or_begins(line)
            else:
                leaves = bool(code) and not lines[place - 1].strip() and not _PYTHON_BEGINS.match(line)
            if leaves:
                break
            block = block or bool(_PYTHON_BLOCK.match(line))
        quoted ^= len(_TRIPLE.findall(line)) % 2 == 1
        kept.append(line)
    return "\n".join(kept)


def _indented(lines: list[str]) -> list[str]:
    quoted = False
    for place, line in enumerate(lines):
        if line.strip() and not line[0].isspace() and not quoted and line[0] not in ")]}":
            return lines[:place]
        quoted ^= len(_TRIPLE.findall(line)) % 2 == 1
    return lines


def _closes_or_begins(line: str) -> bool:
    return line[0] in ")]}" or _PYTHON_BLOCK.match(line) is not None


def _javascript(text: str) -> str:
    lines = text.split("\n")
    body, code, closed = lines[0][:1].isspace(), False, False
    for place, line in enumerate(lines):
        if not line.strip() or line[0].isspace():
            continue
        if body:
            return "\n".join(lines[: place + 1] if line[0] == "}" else lines[:place])
        if code and line.startswith(("//", "/*")) or closed and line[0] != "}" and not _JAVASCRIPT_BEGINS.match(line):
            return "\n".join(lines[:place])
        code = code or not line.startswith(("//", "/*", "*"))
        closed = closed or line[0] == "}"
    return text


def _braces(text: str) -> str:
    text = _until(_BLANK, text)
    depth = 0
    for brace in re.finditer(r"[{}]", text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[: brace.end()]
    return text
