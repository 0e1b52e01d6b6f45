"""Which line of the user's is running, and where each parameter and layer of theirs was made."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import CodeType, FrameType
from typing import Any

Line = tuple[str, int]


class Places:
    """Tells the user's files from libraries, and turns lines into the ranges that the parent marks."""

    def __init__(self, path: str, text: str | None, ours: tuple[str, ...] = (), theirs: tuple[str, ...] = ()) -> None:
        """The file that is probed and its text, which may not be saved; None where the disk has it. What lies in a
        folder of `ours` is no code of the user's, in one of `theirs` it is, though it be installed."""
        self.path = path
        paths = sysconfig.get_paths()
        # Order matters: an environment inside the user's project is a library, the project around it is not.
        self._libraries = tuple(
            {os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")}
            | {os.path.realpath(each) + os.sep for each in (os.path.dirname(__file__), *ours)}
        )
        self._theirs = tuple(os.path.realpath(each) + os.sep for each in theirs)
        self._known: dict[str, bool] = {path: True}
        self._texts: dict[str, list[str]] = {} if text is None else {path: _lines(text)}

    def is_users(self, filename: str) -> bool:
        """Is `filename` code of the user's, not a library's and not ours?"""
        known = self._known.get(filename)
        if known is None:
            real = os.path.realpath(filename)
            library = (
                real.startswith(self._libraries)
                or f"{os.sep}site-packages{os.sep}" in real
                or f"{os.sep}dist-packages{os.sep}" in real
            )
            known = (
                not filename.startswith("<") and (not library or real.startswith(self._theirs)) and os.path.exists(real)
            )
            self._known[filename] = known
        return known

    def current(self, frame: FrameType | None = None, above: object | None = None) -> Line | None:
        """The innermost line of the user's that is running; `above` skips the methods of that object."""
        frame = frame or sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if self.is_users(code.co_filename):
                first = frame.f_locals.get(code.co_varnames[0]) if above is not None and code.co_argcount else None
                if above is None or first is not above:
                    return code.co_filename, frame.f_lineno
            frame = frame.f_back
        return None

    def raised(self, error: BaseException) -> Line | None:
        """The innermost line of the user's in an exception's traceback."""
        found, step = None, error.__traceback__
        while step is not None:
            if self.is_users(step.tb_frame.f_code.co_filename):
                found = step.tb_frame.f_code.co_filename, step.tb_lineno
            step = step.tb_next
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            found = error.filename, error.lineno
        return found

    def of_function(self, code: CodeType) -> Line:
        """The line of a function's `def`; its decorators stand above."""
        number = code.co_firstlineno
        lines = self.lines_of(code.co_filename)
        for offset, text in enumerate(lines[number - 1 : number + 20]):
            if text.lstrip().startswith(("def ", "async def ")):
                return code.co_filename, number + offset
        return code.co_filename, number

    def place(self, line: Line | None) -> dict[str, Any] | None:
        """The range of a line's code, without indent and comment, as the parent's `Place`."""
        if line is None:
            return None
        path, number = line
        lines = self.lines_of(path)
        text = lines[number - 1] if number <= len(lines) else ""
        code = _without_comment(text)
        start = len(code) - len(code.lstrip())
        return {"path": path, "line": number, "column": start, "end_line": number, "end_column": len(code)}

    def lines_of(self, path: str) -> list[str]:
        """The lines of a file; none where it can't be read."""
        lines = self._texts.get(path)
        if lines is None:
            try:
                with open(path, encoding="utf-8", errors="replace", newline="") as file:
                    lines = _lines(file.read())
            except OSError:
                lines = []
            self._texts[path] = lines
        return lines


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _without_comment(line: str) -> str:
    quote = ""
    for position, character in enumerate(line):
        if quote:
            if character == quote and line[position - 1] != "\\":
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "#":
            return line[:position].rstrip()
    return line.rstrip()


class TooLarge(MemoryError):
    """A model's parameters would not fit into the memory that the probe may use."""


class Origins:
    """Remembers, while models are being built, the user's line that made each module, parameter and
    optimizer."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.modules: list[Any] = []  # in order of creation; kept alive, so that an id stays one object's
        self.optimizers: list[Any] = []
        self.most_bytes: float = float("inf")
        """Of parameters, while a model is being built; beyond them `TooLarge` is raised, before they are filled."""
        self.bytes = 0
        self._module_lines: dict[int, Line | None] = {}
        self._attribute_lines: dict[tuple[int, str], Line | None] = {}
        self._optimizer_lines: dict[int, Line | None] = {}
        self._frozen_lines: dict[int, Line | None] = {}

    def watch(self) -> None:
        """From now on every module, attribute of a module, and optimizer is remembered."""
        import torch

        module: Any = torch.nn.Module
        optimizer: Any = torch.optim.Optimizer
        origins = self
        self._watch_freezing()
        make_module, set_attribute, make_optimizer = module.__init__, module.__setattr__, optimizer.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            if id(self) not in origins._module_lines:
                origins.modules.append(self)
                origins._module_lines[id(self)] = origins.places.current(sys._getframe(1), above=self)
            make_module(self, *args, **kwargs)

        def assign(self: Any, name: str, value: Any) -> None:
            if isinstance(value, (torch.Tensor, torch.nn.Module, list, tuple, dict)):
                origins._attribute_lines[id(self), name] = origins.places.current(sys._getframe(1))
            if isinstance(value, torch.nn.Parameter) and not value.is_meta:
                origins._count(value)
            set_attribute(self, name, value)

        def optimize(self: Any, *args: Any, **kwargs: Any) -> None:
            line = origins.places.current(sys._getframe(1))
            make_optimizer(self, *args, **kwargs)  # one that raises half-way is no optimizer
            origins.optimizers.append(self)
            origins._optimizer_lines[id(self)] = line

        module.__init__ = init
        module.__setattr__ = assign
        optimizer.__init__ = optimize

    def _count(self, parameter: Any) -> None:
        self.bytes += parameter.numel() * parameter.element_size()
        if self.bytes > self.most_bytes:
            raise TooLarge

    def _watch_freezing(self) -> None:
        """Remember who sets `requires_grad` to False on a parameter: by the attribute or by the method."""
        import torch

        origins = self
        parameter: Any = torch.nn.Parameter
        inherited: Any = torch.Tensor.requires_grad
        method = torch.Tensor.requires_grad_

        def get(self: Any) -> Any:
            return inherited.__get__(self)

        def set_flag(self: Any, value: bool) -> None:
            inherited.__set__(self, value)
            if not value:
                origins._frozen_lines[id(self)] = origins.places.current(sys._getframe(1))

        def set_by_method(self: Any, requires_grad: bool = True) -> Any:
            if not requires_grad:
                origins._frozen_lines[id(self)] = origins.places.current(sys._getframe(1))
            return method(self, requires_grad)

        parameter.requires_grad = property(get, set_flag)
        parameter.requires_grad_ = set_by_method

    def forget(self, modules: int) -> None:
        """Let go of so many modules that were made last."""
        for each in self.modules[len(self.modules) - modules :]:
            self._module_lines.pop(id(each), None)
        del self.modules[len(self.modules) - modules :]

    def disown(self, module: Any) -> None:
        """A Module of the probe's own: no line of the user's has made it."""
        self._module_lines.pop(id(module), None)
        self.modules = [each for each in self.modules if each is not module]

    def of_module(self, module: Any) -> Line | None:
        """The line that calls the module's class."""
        return self._module_lines.get(id(module))

    def of_attribute(self, owner: Any, name: str) -> Line | None:
        """The line that sets `owner.name`; for a library's layer, the user's line that makes the layer."""
        return self._attribute_lines.get((id(owner), name)) or self.of_module(owner)

    def of_freezing(self, parameter: Any) -> Line | None:
        """The line that sets the parameter's `requires_grad` to False, if it was seen."""
        return self._frozen_lines.get(id(parameter))

    def of_optimizer(self, optimizer: Any) -> Line | None:
        return self._optimizer_lines.get(id(optimizer))
