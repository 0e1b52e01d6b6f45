"""The one way through: `analyse(snapshot) -> findings, questions`."""

from __future__ import annotations

import enum
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from gradsense.config import Settings
from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity, Span, apply_edits
from gradsense.program import definitions, memory
from gradsense.program.facts import Step
from gradsense.program.file import TELLING_NAMES, File, Files
from gradsense.program.imports import Imports
from gradsense.program.interface import interfaces
from gradsense.program.knowledge.names import is_installed_package
from gradsense.program.program import Program
from gradsense.program.values import Kind
from gradsense.rules.base import Review, Rule
from gradsense.rules.edits import line_end, line_start
from gradsense.rules.patterns import matches
from gradsense.rules.registry import all_rules
from gradsense.snapshot import ModuleSource, Question, Snapshot, SourceFile
from gradsense.source.blocks import Document, holes_in, read_document
from gradsense.source.memo import Memo
from gradsense.source.notebook import crosses_cells

if TYPE_CHECKING:
    from gradsense.insight.at import Insight
    from gradsense.insight.coverage import Coverage

# The bounds of `source/` allow chains of 500 operators; walking one takes a few Python frames for each.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))

_LIBRARIES = frozenset({"torch", "lightning", "pytorch_lightning"})
_RELEVANT = _LIBRARIES | {"backward", "zero_grad"}
_RELEVANT_WORD = re.compile(rf"(?<![^\W\d])(?:{'|'.join(sorted(_RELEVANT))})(?!\w)")
_IN_TRAINING_CODE = re.compile(
    rf"""\.\s*(?:{"|".join(sorted(TELLING_NAMES))}|train|eval|forward|training_step)(?!\w)
    | (?<!\w)(?:def|class|import|as)\s+\w*(?:{"|".join(sorted(TELLING_NAMES))}|forward|training_step)(?!\w)
    | (?<!\w)(?:{"|".join(sorted(TELLING_NAMES))}|getattr|setattr)\s*\(
    | gradsense:""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a snapshot says, and what else the engine would like to know (without it, some rules stay silent)."""

    findings: tuple[Finding, ...]
    questions: frozenset[Question]
    failures: tuple[str, ...] = ()
    """Mistakes of ours: a rule's code and the traceback. Whoever has a log writes them there."""
    asked: frozenset[Question] = frozenset()
    """Every question whose answer, or lack of one, the analysis has looked at: with equal answers it says the same."""
    given_up: tuple[str, ...] = ()
    """What would take too many steps to follow, by name (the module's own body by none): of it, most rules are silent.
    """
    waits: bool = False
    """Whether there are functions of which only the files that call them tell more, and these were not wanted."""
    unsettled: bool = False
    """Whether some rule waits until nothing is asked any more: then to learn that there is no answer is news."""


@dataclass(frozen=True, slots=True)
class ModuleClass:
    """A Module class of a file, for lenses: `kind` is `module` or `lightning module`; `span` is its name."""

    qualname: str
    span: Span
    kind: str


@dataclass(frozen=True, slots=True)
class ProbeTargets:
    """What a probe can be run on: the Module classes of a file, and the outermost loops that step an optimizer when the
    file is run as a script (the whole `for` or `while`); both in order.
    """

    classes: tuple[ModuleClass, ...]
    loops: tuple[Span, ...]


# By characters: what a file of 2,000 lines was at the last few edits.
_files: Memo[tuple[str, str, tuple[int, ...]], File] = Memo(400_000)
# Those that others import: a package of some hundreds, which each analysis of one of its files goes through.
_others: Memo[tuple[str, str], File] = Memo(4_000_000)


def _file(path: str, text: str, cells: tuple[int, ...] = ()) -> File:
    key = (path, text, cells)
    file = _files.get(key)
    if file is None:
        file = File(path, read_document(text, cells))
        _files.put(key, file, len(text))
    return file


def _other_file(path: str, text: str) -> File:
    file = _others.get((path, text))
    if file is None:
        file = _files.get((path, text, ())) or File(path, read_document(text))
        _others.put((path, text), file, len(text))
    return file


def program_of(snapshot: Snapshot, in_order: Program | None = None) -> Program:
    """The program of a snapshot's file, with what the answers tell of other files.

    With the program of a notebook from top to bottom (`in_order`), the one whose cells may run in any order.
    """
    file = _file(snapshot.path, snapshot.text, snapshot.cells)
    sources = {asked: answer for asked, answer in snapshot.answers.items() if isinstance(answer, SourceFile)}
    # To a file that imports it, too, the file is what is analysed, not what it was when somebody asked.
    own = {asked: SourceFile(file.path, snapshot.text) for asked, each in sources.items() if each.path == file.path}
    answers = {**snapshot.answers, **own} if own else snapshot.answers
    files = Files(file, {each.path: each.text for each in sources.values()}, _other_file)
    imports = Imports(file, answers, files)
    return Program(file, imports, snapshot.settings, in_order)


_last: list[tuple[Snapshot, Program]] = []
"""The program that was analysed last, which hovers, lenses and hints are about to ask, too; at most one."""


def _run_program(snapshot: Snapshot) -> Program:
    """The program of a snapshot with everything in it run. It is let go when the next one comes."""
    for _, before in _last:
        before.let_go()
    _last.clear()
    program = program_of(snapshot)
    _last.append((snapshot, program))
    program.ensure_runs()
    return program


def _understood(snapshot: Snapshot) -> Program | None:
    """The program of a snapshot, as it was analysed if it was the last one, with what its callers do if they were
    followed; None if it has nothing to do with training.
    """
    program = next((program for before, program in _last if before == snapshot), None)
    if program is None and is_relevant(_file(snapshot.path, snapshot.text, snapshot.cells).document):
        program = _run_program(snapshot)
    return program.called or program if program is not None and snapshot.callers else program


def is_relevant(document: Document) -> bool:
    """Whether a file may have to do with training at all."""
    return not _RELEVANT.isdisjoint(document.names)


class Mention(enum.Enum):
    """What the words of a text alone tell of it: more than a search for a few words takes to know."""

    NONE = "nothing can be found in it"
    IN_PASSING = "something can be found in it only if what it imports leads to torch or Lightning"
    LIBRARY = "torch or Lightning is named in it"
    TRAINING = "its code reads like training"


def mention_in(text: str) -> Mention:
    """What a text mentions. It is looked at as characters, so it may be far longer than one to analyse; prose counts,
    too, where telling it from code would take a parser.
    """
    # A search for a plain string runs at the speed of memory, the pattern does not.
    if not any(word in text for word in _RELEVANT):
        return Mention.NONE
    words = set(_RELEVANT_WORD.findall(text))
    if not words:
        return Mention.NONE
    if words & _LIBRARIES:
        return Mention.LIBRARY
    return Mention.TRAINING if _IN_TRAINING_CODE.search(text) else Mention.IN_PASSING


def knows_package(name: str) -> bool:
    """Whether a top-level package is known by its name, installed or not, and none of the standard library."""
    return is_installed_package(name) and name not in sys.stdlib_module_names


def _begin_nothing(part: str) -> None:
    """What is told of the parts where nobody measures them."""


def analyse(snapshot: Snapshot, begin: Callable[[str], None] = _begin_nothing) -> Analysis:
    """Every finding of `snapshot`, in order of position. Pure: no I/O, no clock. Never raises, on any text.

    `begin` is called with a rule's code before the rule runs, and with "" when it is done: for those who have a clock.
    """
    failures: list[str] = []
    found: list[Finding] = []
    asked: set[Question] = set()
    try:
        document = _file(snapshot.path, snapshot.text, snapshot.cells).document
        if not is_relevant(document):
            return Analysis((), frozenset())
        program = _run_program(snapshot)
        rules = [rule() for rule in _enabled(snapshot.settings)]
        for rule in rules:
            begin(rule.code)
            found += _found_or_failure(rule, lambda rule: findings_of(program, rule), failures)
        begin("")
        called = program.called if snapshot.callers else None
        if called is not None:
            found, failed = _with_callers(program, called, rules, found, begin)
            failures += failed
        by_rules = {(finding.code, finding.span) for finding in found}
        is_whole = program.callers_are_known if snapshot.callers else not program.left_to_others
        review = _review(program, rules, found, failures, is_whole)
        for rule in rules:
            begin(rule.code)
            found += _found_or_failure(rule, lambda rule: rule.check_findings(program, review), failures)
        begin("")
        kept = _finish(found, snapshot, document)
        if len(snapshot.cells) > 1:
            kept = _of_cells(kept, by_rules, snapshot, program, rules, asked)
    except Exception:
        return Analysis((), frozenset(), (f"engine: {traceback.format_exc()}",))
    questions = frozenset(program.imports.questions)
    asked |= program.imports.asked
    return Analysis(
        tuple(kept),
        questions,
        tuple(failures),
        frozenset(asked),
        tuple(sorted(program.incomplete)),
        not snapshot.callers and bool(program.left_to_others),
        bool(questions and document.suppressions),
    )


def still_hold(findings: Iterable[Finding], before: Snapshot, now: Snapshot) -> bool:
    """Whether the findings of `before`, all of whose questions were answered, are also those of `now`: so far as that
    can be told without an analysis. It can where other files differ in what the file that is analysed can't see.
    """
    if (before.path, before.text, before.cells, before.settings) != (now.path, now.text, now.cells, now.settings):
        return False
    # To the engine an open question is as good as one without an answer.
    pairs = [(answer, now.answers.get(asked)) for asked, answer in before.answers.items()]
    differ = [(was, answer) for was, answer in pairs if was != answer]
    for was, answer in differ:
        if not isinstance(was, SourceFile) or not isinstance(answer, SourceFile) or was.path != answer.path:
            return False
    paths = {was.path for was, _ in differ if isinstance(was, SourceFile)}
    if any(related.path in paths for finding in findings for related in finding.related):
        return False
    return not paths or interfaces(program_of(before).imports) == interfaces(program_of(now).imports)


def imports_of(file: SourceFile, cells: tuple[int, ...] = ()) -> frozenset[ModuleSource]:
    """The questions for modules that an analysis is going to ask when it runs a file from its first line on."""
    read = _file(file.path, file.text, cells) if cells else _other_file(file.path, file.text)
    return frozenset(ModuleSource(module, file.path) for module in read.imported)


def _enabled(settings: Settings) -> list[type[Rule]]:
    if settings.enabled is None:
        return [rule for rule in all_rules() if rule.on_by_default]
    return [rule for rule in all_rules() if rule.code in settings.enabled]


def _found_or_failure(rule: Rule, look: Callable[[Rule], Iterable[Finding]], failures: list[str]) -> list[Finding]:
    """A rule's findings; if it fails, none, and what happened is added to `failures`."""
    try:
        return list(look(rule))
    except Exception:
        failures.append(f"{rule.code}: {traceback.format_exc()}")
        return []


def _review(program: Program, rules: list[Rule], found: list[Finding], failures: list[str], is_whole: bool) -> Review:
    is_settled = is_whole and not (failures or program.imports.questions or program.incomplete or program.lost)
    return Review(
        tuple(found),
        frozenset(rule.code for rule in rules),
        tuple((rule.code, rule.name) for rule in all_rules()),
        is_settled and not program.has_holes,
    )


def _with_callers(
    program: Program, called: Program, rules: list[Rule], own: list[Finding], begin: Callable[[str], None]
) -> tuple[list[Finding], list[str]]:
    """What is found with the files that lead here, and mistakes of ours. Where all of them could be followed, what a
    file says by itself is withdrawn if it doesn't hold with them.

    Whether a fix is right for whoever else calls the same lines is for the author to say.
    """
    found: list[Finding] = []
    failures: list[str] = []
    for rule in rules:
        begin(rule.code)
        before = len(failures)
        by_itself = {finding.span: finding for finding in own if finding.code == rule.code}
        seen = _found_or_failure(rule, partial(findings_of, called), failures)
        is_sure = program.callers_are_known and len(failures) == before
        spans = {finding.span for finding in seen}
        found += (finding for span, finding in by_itself.items() if span in spans or not is_sure)
        found += (_of_a_caller(called, finding) for finding in seen if finding.span not in by_itself)
    begin("")
    return found, failures


def _of_a_caller(called: Program, finding: Finding) -> Finding:
    """A finding that only a caller shows, with the call."""
    call = called.call_into(finding.span)
    reached = () if call is None or call.span is None else (Related("called from here", call.span, call.where.path),)
    return replace(finding, fixes=_for_the_author(finding), related=(*finding.related, *reached))


def findings_of(program: Program, rule: Rule) -> list[Finding]:
    """What one rule finds by itself: by its query, and at the nodes that match its pattern."""
    found = list(rule.check(program))
    if rule.pattern is not None and rule.may_match(program):
        for place in matches(program, rule.pattern, rule.pattern_text, rule.may_match_in):
            found += rule.check_match(place, program)
    return found


def _finish(found: list[Finding], snapshot: Snapshot, document: Document) -> list[Finding]:
    """Each finding once, with its severity and key, in order; the suppressed ones left out."""
    text = snapshot.text
    unique: dict[tuple[str, Span], Finding] = {}
    for finding in found:
        at = (finding.code, finding.span)
        held = unique.get(at)
        if held is None or _SEVERITY_ORDER[finding.severity.value] < _SEVERITY_ORDER[held.severity.value]:
            unique[at] = finding
    seen: Counter[tuple[str, str]] = Counter()
    kept: list[Finding] = []
    for finding in sorted(unique.values(), key=lambda f: (f.span, f.code)):
        line = text[line_start(text, finding.span.start) : line_end(text, finding.span.start)].strip()
        number = seen[finding.code, line]
        seen[finding.code, line] += 1
        severity = snapshot.settings.severities.get(finding.code, finding.severity)
        fixes = finding.fixes
        if snapshot.cells:
            fixes = tuple(fix for fix in fixes if not any(crosses_cells(snapshot.cells, e.span) for e in fix.edits))
        fixes = tuple(fix for fix in fixes if not _breaks_more(fix, document))
        finding = replace(finding, key=f"{line}#{number}", severity=severity, fixes=fixes)
        if not _is_suppressed(finding, document):
            kept.append(finding)
    return kept


def _breaks_more(fix: Fix, document: Document) -> bool:
    """Whether a fix in a definition with broken code leaves more of it broken: what is read there hangs by the lines
    around.
    """
    for begin, tree in document.blocks:
        inside = [edit for edit in fix.edits if begin <= edit.span.start and edit.span.end <= begin + len(tree.text)]
        if not tree.holes or not inside:
            continue
        moved = [Edit(Span(edit.span.start - begin, edit.span.end - begin), edit.text) for edit in inside]
        if holes_in(apply_edits(tree.text, moved)) > len(tree.holes):
            return True
    return False


IN_ORDER = "That is so if the cells run from top to bottom."
"""What is told of a finding that another order of a notebook's cells would not have."""


def _of_cells(
    found: list[Finding],
    by_rules: set[tuple[str, Span]],
    snapshot: Snapshot,
    in_order: Program,
    rules: list[Rule],
    looked_at: set[Question],
) -> list[Finding]:
    """A notebook's findings, each as sure as it is whatever the order of the cells: one that other orders don't have is
    worth knowing, and no more; its fixes are for the author to choose. `looked_at` gets what was asked on the way.
    """
    asked = {f.code for f in found if (f.code, f.span) in by_rules and (f.severity in _GRAVE or f.preferred_fix)}
    if not asked:
        return found
    program = program_of(snapshot, in_order)
    program.ensure_runs()
    always: dict[tuple[str, Span], Severity] = {}
    for rule in rules:
        for finding in _found_or_failure(rule, partial(findings_of, program), []) if rule.code in asked else ():
            at = (finding.code, finding.span)
            always[at] = min(finding.severity, always.get(at, finding.severity), key=_rank)
    looked_at |= program.imports.asked
    program.let_go()
    return [
        _in_any_order(f, always.get((f.code, f.span))) if f.code in asked and (f.code, f.span) in by_rules else f
        for f in found
    ]


def _in_any_order(finding: Finding, always: Severity | None) -> Finding:
    """A finding with the severity that it has in any order; None: there are orders without it."""
    if always is not None:
        return replace(finding, severity=max(finding.severity, always, key=_rank))
    fixes = _for_the_author(finding)
    return replace(finding, severity=Severity.INFORMATION, message=f"{finding.message} {IN_ORDER}", fixes=fixes)


def _for_the_author(finding: Finding) -> tuple[Fix, ...]:
    """A finding's fixes, none of which is made unasked."""
    return tuple(replace(fix, safety=Safety.UNSAFE) if fix.safety is Safety.SAFE else fix for fix in finding.fixes)


_GRAVE = frozenset({Severity.ERROR, Severity.WARNING})


def _rank(severity: Severity) -> int:
    return _SEVERITY_ORDER[severity.value]


_SEVERITY_ORDER = {"error": 0, "warning": 1, "information": 2}


def _is_suppressed(finding: Finding, document: Document) -> bool:
    if not document.suppressions:
        return False
    line, _ = document.lines.position(finding.span.start)
    for suppression in document.suppressions:
        if suppression.rules and not any(name in (finding.code, finding.name) for name, _ in suppression.rules):
            continue
        if not suppression.rules and suppression.span.start <= finding.span.start < suppression.span.end:
            # What is said of a comment is not silenced by that comment, unless it asks for it by name.
            continue
        if suppression.kind == "file" or line in suppression.lines:
            return True
    return False


def forget(path: str) -> None:
    """Remember nothing of a file that nobody looks at any more."""
    if _last and _last[0][0].path == path:
        _last.pop()[1].let_go()
    memory.forget(path)
    definitions.forget(path)


def check_text(text: str, path: str = "example.py", settings: Settings | None = None) -> list[Finding]:
    """The findings of a text on its own: nothing outside it is known. Raises RuntimeError for a mistake of ours."""
    analysis = analyse(Snapshot(path, text, settings or Settings()))
    if analysis.failures:
        raise RuntimeError("\n".join(analysis.failures))
    return list(analysis.findings)


def insight_at(snapshot: Snapshot, offset: int) -> Insight | None:
    """What is understood at an offset of the text: of an optimizer, a network, a step; None where nothing is."""
    from gradsense.insight.at import describe

    program = _understood(snapshot)
    return describe(program, offset) if program is not None else None


def coverage_of(snapshot: Snapshot) -> list[Coverage]:
    """How many of the parameters of its networks each optimizer holds, where that is exactly known."""
    from gradsense.insight.coverage import coverage

    program = _understood(snapshot)
    return coverage(program) if program is not None else []


def probe_targets(snapshot: Snapshot) -> ProbeTargets:
    """What a probe can be run on in a file."""
    program = _understood(snapshot)
    if program is None:
        return ProbeTargets((), ())
    return ProbeTargets(tuple(_module_classes(program)), tuple(_training_loops(program)))


def _module_classes(program: Program) -> list[ModuleClass]:
    found = []
    for facts in program.module_classes:
        place = program.place(facts.site)
        span = place.span_of(place.node.name) if place is not None else None  # type: ignore[attr-defined]
        if span is not None:
            kind = "lightning module" if facts.kind is Kind.LIGHTNING else "module"
            found.append(ModuleClass(facts.name, span, kind))
    return sorted(found, key=lambda each: each.span)


def _training_loops(program: Program) -> list[Span]:
    run, _ = program.script
    found: set[Span] = set()
    for step in run.facts_of(Step):
        place = program.place(step.context.rounds[0].site) if step.context.rounds else None
        if place is not None and place.span is not None:
            found.add(place.span)
    return sorted(found)
