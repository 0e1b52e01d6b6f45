"""The heap: branches that are compared and joined by what they have written are what a comparison of all would find."""

from __future__ import annotations

import random

from gradsense.program.state import Heap
from gradsense.program.values import Const, Obj, Site, Where


def obj(number: int) -> Obj:
    return Obj(Site(Where("a.py", "", (0,)), number), ())


def written(heap: Heap, choice: random.Random) -> None:
    """Some writes, by each of the three ways."""
    for _ in range(choice.randrange(4)):
        at, value = obj(choice.randrange(12)), {"x": Const(choice.randrange(3))}
        choice.choice((heap.__setitem__, heap.setdefault, lambda key, held: heap.update({key: held})))(at, value)


def branches(choice: random.Random) -> list[Heap]:
    """Heaps with a common past of copies, writes and joins."""
    heaps = [Heap({obj(0): {"x": Const(0)}})]
    for _ in range(choice.randrange(2, 12)):
        heap = choice.choice(heaps)
        written(heap, choice)
        heaps.append(heap.joined(choice.choice(heaps)) if choice.random() < 0.3 else heap.copy())
        written(heaps[-1], choice)
    return heaps


def test_what_differs_is_found_by_what_was_written() -> None:
    for seed in range(300):
        heaps = branches(random.Random(seed))
        for one in heaps:
            for other in heaps:
                differing = {key for key in one.keys() | other.keys() if one.get(key) is not other.get(key)}
                assert set(one.differing(other)) == differing
                assert one.same_as(other) == (dict(one) == dict(other))


def test_a_join_has_the_objects_of_both_and_what_they_agree_on() -> None:
    for seed in range(300):
        heaps = branches(random.Random(seed))
        for one in heaps:
            for other in heaps:
                joined = one.joined(other)
                assert joined.keys() == one.keys() | other.keys()
                for key in joined:
                    if one.get(key) == other.get(key) or key not in other:
                        assert joined[key] == one[key]
                    elif key not in one:
                        assert joined[key] == other[key]


def test_a_copy_is_left_alone_by_later_writes() -> None:
    first = Heap({obj(0): {"x": Const(0)}})
    second = first.copy()
    second[obj(0)] = {"x": Const(1)}
    first[obj(1)] = {"x": Const(2)}
    assert first[obj(0)] == {"x": Const(0)}
    assert obj(1) not in second
