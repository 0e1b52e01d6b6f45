"""Classes of values that nobody changes. That nothing assigns to them is the type checker's to see: dataclasses that
see to it themselves take three times as long to make, and a run makes tens of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def by_content(cls: type[T]) -> type[T]:
        """Equal by content."""

    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def by_identity(cls: type[T]) -> type[T]:
        """Equal to itself alone, or by what it defines itself."""

else:

    def by_content(cls: type[T]) -> type[T]:
        return dataclass(slots=True, unsafe_hash=True)(cls)

    def by_identity(cls: type[T]) -> type[T]:
        return dataclass(slots=True, eq=False)(cls)
