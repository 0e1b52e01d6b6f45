"""Code actions: a finding's fixes, all safe fixes at once, suppressions, the probe, and the rule's page.

The editor moves its diagnostics along with edits, but not the fixes that they carry. So a diagnostic that
fixes are asked for is found again in the result for the newest text, which is there already; if it isn't,
nothing is offered. Where the client resolves actions, the same is done once more when one is chosen: its
edit is of the text as it is then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from lsprotocol import types

from gradsense.findings import Edit, Finding, Safety
from gradsense.fixes import safe_edits
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import is_file, offset_at
from gradsense.lsp.diagnostics import SOURCE
from gradsense.lsp.documents import Part

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

FIX_ALL = "source.fixAll.gradsense"
"""Of a document. An editor that applies it to each cell of a notebook gets the fixes that leave the others alone."""
NOTEBOOK_FIX_ALL = f"notebook.{FIX_ALL}"
"""Of all cells of a notebook."""
FIX_ALL_TITLE = "Apply all safe fixes of GradSense"

Way = Literal["fix", "rule", "line", "file", "project"]
"""What an action does about a finding: one of its fixes, the safe fixes of its rule, or a suppression: by a comment on
the line or for the file, or by the project's configuration."""


class Actions:
    """`textDocument/codeAction` and `codeAction/resolve`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(
            types.TEXT_DOCUMENT_CODE_ACTION,
            self.actions,
            types.CodeActionOptions([types.CodeActionKind.QuickFix, FIX_ALL, NOTEBOOK_FIX_ALL], resolve_provider=True),
        )
        self._server.handle(types.CODE_ACTION_RESOLVE, self.resolve)

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        if self._server.configuration.is_open(uri):
            await self._server.engine_imported()
            wanted = _wanted(types.CodeActionKind.QuickFix.value, params.context.only)
            return self._server.configuration.actions(params) if wanted else []
        analysed = await self._analysed(uri)
        if analysed is None or analysed.source.part_of(uri) is None:
            return []
        found: list[types.CodeAction] = []
        if _wanted(types.CodeActionKind.QuickFix.value, params.context.only):
            for diagnostic, finding in self._asked_for(analysed, params):
                found += self._of_finding(analysed, diagnostic, finding)
            found += self._of_probe(analysed, params)
        for kind in (FIX_ALL, *((NOTEBOOK_FIX_ALL,) if analysed.source.is_notebook else ())):
            if _wanted(kind, params.context.only) and _fixed_by(kind, analysed, uri):
                found.append(self._fix_all(kind, analysed, uri))
        return found

    async def resolve(self, action: types.CodeAction) -> types.CodeAction:
        """Make the edit of an action, of the text as it is now; none if what it was offered for is gone."""
        asked = action.data if isinstance(action.data, dict) else {}
        uri = asked.get("uri")
        if not isinstance(uri, str) or action.edit is not None:
            return action
        analysed = await self._analysed(uri)
        if analysed is None:
            return action
        way = asked.get("way")
        if way is None:
            action.edit = self._all_edits(_value(action.kind), analysed, uri)
            return action
        finding = _with_key(analysed, str(asked.get("code")), asked.get("key"))
        if finding is not None:
            action.edit = self._edit_for(analysed, finding, way, action.title)
        return action

    async def _analysed(self, uri: str) -> Analysed | None:
        """A client that takes versions makes no edit of another text than the one that it is for."""
        analyses = self._server.analyses
        return await (analyses.current(uri) if self._server.client.takes_document_changes else analyses.newest(uri))

    def _fix_all(self, kind: str, analysed: Analysed, uri: str) -> types.CodeAction:
        action = types.CodeAction(FIX_ALL_TITLE, kind=kind)
        if self._server.client.resolves_edits:
            action.data = {"uri": uri}
        else:
            action.edit = self._all_edits(kind, analysed, uri)
        return action

    def _all_edits(self, kind: str, analysed: Analysed, uri: str) -> types.WorkspaceEdit:
        return self._edit(analysed, safe_edits(analysed.source.text, _fixed_by(kind, analysed, uri)))

    def _asked_for(
        self, analysed: Analysed, params: types.CodeActionParams
    ) -> Iterator[tuple[types.Diagnostic, Finding]]:
        """The findings that the client asks about: by its diagnostics, or by the range if it sends none of
        ours."""
        uri = params.text_document.uri
        ours = [diagnostic for diagnostic in params.context.diagnostics if diagnostic.source == SOURCE]
        if ours:
            for diagnostic in ours:
                finding = self._found_again(analysed, uri, diagnostic)
                if finding is not None:
                    yield diagnostic, finding
            return
        part = analysed.source.part_of(uri)
        assert part is not None
        encoding = self._server.client.encoding
        start = part.start + offset_at(part.lines, params.range.start, encoding)
        end = part.start + offset_at(part.lines, params.range.end, encoding)
        for finding in analysed.findings:
            if finding.span.start <= end and start <= finding.span.end:
                yield self._server.diagnostics.diagnostic(analysed, finding), finding

    def _found_again(self, analysed: Analysed, uri: str, diagnostic: types.Diagnostic) -> Finding | None:
        """The finding of the newest text that a diagnostic, perhaps of an older one, was made of."""
        if isinstance(diagnostic.data, dict):
            return _with_key(analysed, str(diagnostic.code), diagnostic.data.get("key"))
        encoding = self._server.client.encoding
        same = [finding for finding in analysed.findings if finding.code == diagnostic.code]
        at = uri, diagnostic.range
        return next((finding for finding in same if analysed.source.locate(finding.span, encoding) == at), None)

    def _of_finding(
        self, analysed: Analysed, diagnostic: types.Diagnostic, finding: Finding
    ) -> Iterator[types.CodeAction]:
        kind = types.CodeActionKind.QuickFix
        for way, title in self._offered(analysed, finding):
            edit = self._edit_for(analysed, finding, way, title)
            if edit is None:
                continue
            preferred = finding.preferred_fix
            action = types.CodeAction(title, kind=kind, diagnostics=[diagnostic])
            if way == "fix":
                action.is_preferred = preferred is not None and title == preferred.title
            if self._server.client.resolves_edits:
                action.data = self._data(analysed, finding, way)
            else:
                action.edit = edit
            yield action
        confirm = self._server.probes.command_to_confirm(analysed, finding)
        if confirm is not None:
            yield types.CodeAction(confirm.title, kind=kind, diagnostics=[diagnostic], command=confirm)
        title = f"Explain {finding.code} {finding.name}"
        command = self._server.explain.command_for(finding.code, title)
        yield types.CodeAction(title, kind=kind, diagnostics=[diagnostic], command=command)

    def _offered(self, analysed: Analysed, finding: Finding) -> Iterator[tuple[Way, str]]:
        """What may be done about a finding by an edit, each with its title."""
        whole = "notebook" if analysed.source.is_notebook else "file"
        for fix in finding.fixes:
            if fix.safety is not Safety.DISPLAY_ONLY and fix.edits:
                yield "fix", fix.title
        same = [each for each in analysed.findings if each.code == finding.code and each.preferred_fix]
        if finding.preferred_fix and len(same) > 1:
            yield "rule", f"Fix all {finding.name} in this {whole}"
        yield "line", f"Ignore {finding.name} on this line"
        yield "file", f"Ignore {finding.name} in this {whole}"
        if is_file(analysed.source.uri):
            yield "project", f"Ignore {finding.name} in this project"

    def _edit_for(self, analysed: Analysed, finding: Finding, way: Way, title: str) -> types.WorkspaceEdit | None:
        """The edit of one of the ways; None if it wouldn't change anything."""
        from gradsense.lsp.suppress import suppress_in_file, suppress_on_line

        if way == "project":
            return self._server.configuration.ignoring(analysed.snapshot.path, finding.name)
        text, cells = analysed.source.text, analysed.source.cells
        edits: Iterable[Edit | None] = ()
        if way == "fix":
            edits = next((fix.edits for fix in finding.fixes if fix.title == title), ())
        elif way == "rule":
            edits = safe_edits(text, (each for each in analysed.findings if each.code == finding.code))
        elif way == "line":
            edits = (suppress_on_line(text, cells, finding),)
        elif way == "file":
            edits = (suppress_in_file(text, cells, finding),)
        made = [edit for edit in edits if edit is not None]
        return self._edit(analysed, made) if made else None

    def _data(self, analysed: Analysed, finding: Finding, way: Way) -> dict[str, Any]:
        uri = analysed.source.part_at(finding.span.start).uri
        return {"uri": uri, "code": finding.code, "key": finding.key, "way": way}

    def _of_probe(self, analysed: Analysed, params: types.CodeActionParams) -> Iterator[types.CodeAction]:
        """On the line of a class that was probed: to write down what was made up."""
        part = analysed.source.part_of(params.text_document.uri)
        assert part is not None
        for title, edit in self._server.probes.hints_at(analysed, part, params.range.start.line):
            kind = types.CodeActionKind.QuickFix
            yield types.CodeAction(title, kind=kind, edit=self._edit(analysed, [edit]))

    def _edit(self, analysed: Analysed, edits: Iterable[Edit]) -> types.WorkspaceEdit:
        """The edits for the documents that they lie in, with versions where the client takes them."""
        by_part: dict[str, tuple[Part, list[types.TextEdit]]] = {}
        for edit in edits:
            part, made = analysed.source.locate_edit(edit, self._server.client.encoding)
            by_part.setdefault(part.uri, (part, []))[1].append(made)
        if not self._server.client.takes_document_changes:
            return types.WorkspaceEdit(changes={uri: made for uri, (_, made) in by_part.items()})
        return types.WorkspaceEdit(
            document_changes=[
                types.TextDocumentEdit(
                    types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=part.version), list(made)
                )
                for uri, (part, made) in by_part.items()
            ]
        )


def _with_key(analysed: Analysed, code: str, key: Any) -> Finding | None:
    """The finding of a rule that has a key: the same one, whatever has moved it."""
    return next((finding for finding in analysed.findings if (finding.code, finding.key) == (code, key)), None)


def _fixed_by(kind: str, analysed: Analysed, uri: str) -> list[Finding]:
    """The findings with a safe fix that an action for the document `uri` repairs: all, or in a notebook those whose fix
    changes that cell alone."""
    source = analysed.source
    found = [(finding, fix) for finding in analysed.findings if (fix := finding.preferred_fix)]
    if kind == NOTEBOOK_FIX_ALL:
        return [finding for finding, _ in found]
    return [f for f, fix in found if all(source.part_at(edit.span.start).uri == uri for edit in fix.edits)]


def _wanted(kind: str, only: Iterable[str] | None) -> bool:
    """Whether the client asks for a kind, by itself or by one that it belongs to."""
    if only is None:
        return True
    return any(not asked or kind == asked or kind.startswith(f"{asked}.") for asked in map(_value, only))


def _value(kind: str | None) -> str:
    return str(getattr(kind, "value", kind))
