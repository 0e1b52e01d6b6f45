"""Shapes that people write down: in docstrings, in comments, in annotations, in the patterns of einops and einsum.

`x: (B, C, H, W)`, `x (Tensor): [batch, seq_len, dim]`, `of shape (N, 3, 224, 224)`, `- Input: :math:`(N, C_{in})``,
`Float[Tensor, "b c h w"]`, `rearrange(x, "b c h w -> b (h w) c")`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Union

from .batch import BATCH, Leaf
from .names import last_name

_GROUP = re.compile(r"(?P<word>[\w.]*)\s?(?P<group>\((?P<round>[^()\[\]]*)\)|\[(?P<square>[^()\[\]]*)\])")
_LATEX = re.compile(r":math:|\\(?:text|mathrm|mathbf|times|,)\b|[`${}\\]")
_SIZE = re.compile(r"\d+|[A-Za-z_]\w*'?|\*|\.\.\.|[\w]+(?:\s?[-+*/]+\s?\w+)+")
_MAKERS = ("shape", "size", "tensor")
_TYPES = frozenset(
    ("any", "bool", "dict", "float", "int", "list", "none", "optional", "required", "str", "tensor", "tuple")
)
_DIMENSION_WORDS = frozenset(
    ("batch", "channel", "channels", "dim", "dimension", "embed", "embedding", "feature", "features", "heads", "height",
     "hidden", "in", "input", "len", "length", "max", "model", "num", "number", "of", "out", "points", "samples", "seq",
     "sequence", "size", "src", "steps", "target", "tgt", "time", "tokens", "vocab", "width")
)  # fmt: skip
_KINDS = (
    (r"LongTensor|IntTensor|\bLong\b|\bInt\b|\bint(64|32)?\b|\bindices\b|\bids\b", "long"),
    (r"BoolTensor|\bBool\b|\bbool(ean)?\b", "bool"),
    (r"FloatTensor|\bFloat\b|\bfloat(32)?\b", "float"),
)
_SIZES = (
    (r"b|bs|bsz|batch.*|.*batch(_?size)?", BATCH),
    (r"h|w|(img_?)?(height|width)|(h|w)_?\w{1,3}|image_?size", 32),
    (r"c|c_?in|ch|(in_?)?chan(nel)?s?|.*channels", 3),
    (r"t|l|s|p|.*(seq|len|time|step|token|frame).*", 6),
)
_OTHER_SIZE = 8
_MOST_CONTINUED = 4  # lines of an entry
_PATTERNS = frozenset(("rearrange", "reduce", "repeat"))
Size = Union[int, str]


@dataclass(frozen=True)
class Told:
    """The shape of an argument as it is written down in a line: a number for each size that is one, else its name."""

    sizes: tuple[Size, ...]
    kind: str | None
    line: int

    def is_like(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape is one of these, whatever the names stand for."""
        return len(shape) == len(self.sizes) and all(
            told == size for told, size in zip(self.sizes, shape) if isinstance(told, int)
        )


class Documented:
    """What is written about the arguments of a method, `owner` being the class in which its code stands; `lines` are
    those of the file, where both are in it."""

    def __init__(self, method: ast.AST | None, owner: ast.AST | None, lines: Sequence[str], model: Any) -> None:
        self._method = method
        self._model = model
        arguments = getattr(method, "args", None)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs] if arguments is not None else []
        self._lines = [*_docstring(owner, lines), *_docstring(method, lines), *_comments(method, lines)]
        self._annotations = {each.arg: each.annotation for each in every if each.annotation is not None}
        self._names = [each.arg for each in every if each.arg != "self"]
        self._known: dict[str, int] = {}

    def of(self, name: str) -> Told | None:
        """What is told of the argument `name`."""
        return self._annotated(name) or self._written(name) or self._patterned(name)

    def leaf(self, name: str, told: Told, like: Leaf) -> Leaf:
        """A tensor of that shape; of the same kind as `like` where none is told. A name has one size everywhere."""
        sizes = [self._size(each, position) for position, each in enumerate(told.sizes)]
        return Leaf(name, tuple(sizes), told.kind or like.kind, like.high)

    def _size(self, told: Size, position: int) -> int:
        if isinstance(told, int):
            return max(1, told)
        name = told.lower()
        if name not in self._known:
            self._known[name] = self._meant(name, position)
        return self._known[name]

    def _meant(self, name: str, position: int) -> int:
        if position == 0 and re.fullmatch(r"n|(n_?|num_?)?(examples|samples)", name):
            return BATCH
        own = getattr(self._model, name, None)
        if isinstance(own, int) and not isinstance(own, bool) and 0 < own <= 4096:
            return own
        return next((size for pattern, size in _SIZES if re.fullmatch(pattern, name)), _OTHER_SIZE)

    def _annotated(self, name: str) -> Told | None:
        annotation = self._annotations.get(name)
        for node in ast.walk(annotation) if annotation is not None else ():
            if not isinstance(node, ast.Subscript) or last_name(node.value) == "Literal":
                continue
            elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            words = [each.value for each in elements if isinstance(each, ast.Constant)]
            if words and all(isinstance(each, (str, int)) and not isinstance(each, bool) for each in words):
                text = " ".join(map(str, words))
                sizes = sizes_in(text) or _spaced(text)
                if sizes:
                    return Told(sizes, _kind_in(ast.unparse(node)), node.lineno)
        return None

    def _changed(self, name: str) -> int:
        """The line from which on a name means something else."""
        stored = (
            node.lineno
            for node in ast.walk(self._method or ast.Pass())
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        )
        return min(stored, default=10**9)

    def _written(self, name: str) -> Told | None:
        """By its name, or as the input under a `Shape:` heading if it is the first."""
        mention = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w|\()")
        changed = self._changed(name)
        for index, (number, text) in enumerate(self._lines):
            found = mention.search(text) if number < changed else None
            if found is None or re.match(r"\s*(=|\+=)[^=]", text[found.end() :]):
                continue
            told = self._entry(index, text[found.end() :], number)
            if told is not None:
                return told
        if self._names[:1] == [name]:
            for index, (number, text) in enumerate(self._lines):
                found = re.match(r"\s*[-*]?\s*\**(Input|Inputs|input)\b\**\s*:?", text)
                if found is not None:
                    told = self._entry(index, text[found.end() :], number)
                    if told is not None:
                        return told
        return None

    def _entry(self, index: int, rest: str, number: int) -> Told | None:
        """A shape in what follows a name, up to the next entry: in the line, and in those that are indented deeper."""
        texts = [rest]
        indent = _indent(self._lines[index][1])
        for _, text in self._lines[index + 1 : index + 1 + _MOST_CONTINUED]:
            if not text.strip() or _indent(text) <= indent:
                break
            texts.append(text)
        entry = " ".join(texts)
        for each in self._names:
            # Another argument's name ends it.
            entry = re.split(rf"(?<![\w.]){re.escape(each)}\s*(?::|\()", entry)[0]
        for word, group in _groups(entry):
            if word and word.rpartition(".")[2].lower() not in (*_MAKERS, ""):
                continue
            sizes = sizes_in(group)
            if sizes:
                return Told(sizes, _kind_in(entry), number)
        return None

    def _patterned(self, name: str) -> Told | None:
        """By the first pattern of einops or einsum that the argument is given to, before its name means another."""
        changed = self._changed(name)
        for node in ast.walk(self._method or ast.Pass()):
            if not isinstance(node, ast.Call) or node.lineno > changed:
                continue
            function = last_name(node.func)
            strings = [
                each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            tensors = [getattr(each, "id", "") for each in node.args if not isinstance(each, ast.Constant)]
            if not strings or name not in tensors:
                continue
            left = strings[0].partition("->")[0]
            if function in _PATTERNS:
                sizes = _spaced(re.sub(r"\(\s*(\w+)[^)]*\)", r"\1", left))
            elif function == "einsum":
                parts = left.split(",")
                part = parts[tensors.index(name)].strip() if tensors.index(name) < len(parts) else ""
                sizes = _spaced(part) if " " in part else _spaced(" ".join(part))
            else:
                continue
            if sizes:
                return Told(sizes, None, node.lineno)
        return None


def _docstring(node: ast.AST | None, lines: Sequence[str]) -> list[tuple[int, str]]:
    """The lines of a definition's docstring, with their numbers."""
    body = getattr(node, "body", [])
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    if not lines or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return []
    last = first.end_lineno or first.lineno
    return [(number, lines[number - 1].replace('"""', "   ")) for number in range(first.lineno, last + 1)]


def _comments(method: ast.AST | None, lines: Sequence[str]) -> list[tuple[int, str]]:
    """The comments in a method, with their numbers. One in its head that names no argument is about the one in its
    line, or the only one there is."""
    if not lines or not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return []
    last = method.end_lineno or method.lineno
    text = "\n".join(lines[method.lineno - 1 : last])
    found: list[tuple[int, str]] = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError, IndentationError):
        found.extend(
            (token.start[0] + method.lineno - 1, token.string.lstrip("#! "))
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        )
    arguments = method.args
    every = [each for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if each.arg != "self"]
    if not every:
        return []
    return [(number, _about(text, number, every, method.body[0].lineno)) for number, text in found]


def _about(comment: str, number: int, arguments: list[ast.arg], body: int) -> str:
    here = [each.arg for each in arguments if each.lineno == number] if len(arguments) > 1 else [arguments[0].arg]
    is_bare = not any(re.search(rf"\b{re.escape(each.arg)}\b", comment) for each in arguments)
    return f"{here[0]}: {comment}" if number < body and len(here) == 1 and is_bare else comment


def sizes_in(group: str) -> tuple[Size, ...]:
    """The sizes in what stands between brackets; empty where it is no shape."""
    text = _LATEX.sub(" ", group).strip()
    is_tuple = text.endswith(",")
    parts = [each.strip() for each in re.split(r",|\s+x\s+|\u00d7", text.rstrip(","))]
    if len(parts) == 1 and not is_tuple:
        return ()
    sizes: list[Size] = []
    for part in parts:
        words = re.sub(r"\s*_\s*", "_", part)
        if " " in words and not re.search(r"[-+*/]", words):
            if any(each.lower() not in _DIMENSION_WORDS for each in words.split()):
                return ()
            words = words.replace(" ", "_")
        if not _SIZE.fullmatch(words) or words.lower() in _TYPES:
            return ()
        sizes.append(int(words) if words.isdigit() else words)
    return _without_stars(sizes)


def _spaced(text: str) -> tuple[Size, ...]:
    """The sizes of `b c h w`."""
    words = text.split()
    if not all(_SIZE.fullmatch(each) for each in words):
        return ()
    return _without_stars([int(each) if each.isdigit() else each for each in words])


def _without_stars(sizes: list[Size]) -> tuple[Size, ...]:
    """`(*, H)` is `(N, H)`; what has any number of other sizes tells no shape."""
    if sizes[:1] in (["*"], ["..."]) and len(sizes) > 1:
        sizes = ["N", *sizes[1:]]
    return () if "*" in sizes or "..." in sizes or len(sizes) > 6 else tuple(sizes)


def _groups(text: str) -> Iterator[tuple[str, str]]:
    """What stands in brackets, with the word right before."""
    for match in _GROUP.finditer(_LATEX.sub(" ", text)):
        is_attached = match.start("group") == match.end("word")
        inside = match["round"] if match["round"] is not None else match["square"]
        yield (match["word"] if is_attached else ""), inside


def _kind_in(text: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if re.search(pattern, text)), None)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
