"""A call of something that isn't the user's own, while it is followed."""

from __future__ import annotations

from typing import NamedTuple

from gradsense.program.facts import Call, argument_of
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import Keywords, Site, Value


class Invocation(NamedTuple):
    """Who calls with which arguments, and the state before: the call's effects are made on it."""

    run: Run
    frame: Frame
    state: State
    args: tuple[Value, ...]
    keywords: Keywords
    at: int
    """Where the call is, in characters from the start of the caller's block."""

    @property
    def site(self) -> Site:
        return self.frame.site(self.at)

    @property
    def values(self) -> tuple[Value, ...]:
        """All arguments, those by keyword behind the others."""
        return (*self.args, *(value for _, value in self.keywords))

    def argument(self, position: int, keyword: str) -> Value | None:
        """The argument given at `position` or by `keyword`."""
        return argument_of(self.args, self.keywords, position, keyword)

    def record(self, name: str, receiver: Value | None, result: Value) -> Value:
        """Keep the call as a fact; gives `result` back."""
        fact = Call(self.site, self.run.context(self.frame), name, receiver, self.args, self.keywords, result)
        self.run.record(fact, self.frame)
        return result
