"""What running an example shows, in words."""

from __future__ import annotations

from gradsense.rules.examples import (
    GraphKept,
    LossDiffers,
    NotCalled,
    NothingMoves,
    PilesUp,
    PredictionsDiffer,
    Raises,
    StateLost,
    Symptom,
    Trains,
    Unmoved,
    Warns,
)

_WORDS: dict[type[Symptom], str] = {
    NothingMoves: "ends without an error, and no parameter has moved",
    PilesUp: "adds each batch's gradients to those that were applied already",
    StateLost: "loses the optimizer's state again and again",
    GraphKept: "keeps the graphs of past batches, and needs more memory with each",
    LossDiffers: "computes another loss than the program below",
    PredictionsDiffer: "answers differently to the same input, asked twice",
    Trains: "ends without an error, and every parameter has moved",
}


def in_words(symptom: Symptom) -> str:
    """A symptom as the end of a sentence that begins with the program."""
    match symptom:
        case Raises(match=match):
            return f"raises `{_plain(match)}`"
        case Warns(match=match):
            return f"warns `{_plain(match)}`"
        case NotCalled(hook=hook):
            return f"ends without an error, and has never called `{hook}`"
        case Unmoved(names=names):
            listed = ", ".join(f"`{name}`" for name in names)
            return f"ends without an error, and {listed} has not moved"
    return _WORDS[type(symptom)]


def _plain(pattern: str) -> str:
    """A regular expression without its escapes."""
    return pattern.replace("\\", "").replace(".*", " … ")
