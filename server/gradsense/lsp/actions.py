"""Code actions: a finding's fixes, all safe fixes at once, suppressions, and the rule's page.

The editor moves its diagnostics along with edits, but not the fixes that they carry. So a diagnostic that
fixes are asked for is found again in the result for the newest text, which is there already; if it isn't,
nothing is offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Edit, Finding, Safety
from gradsense.fixes import safe_edits
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import offset_at
from gradsense.lsp.diagnostics import SOURCE

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

FIX_ALL = "source.fixAll.gradsense"
FIX_ALL_TITLE = "Apply all safe fixes of GradSense"


class Actions:
    """`textDocument/codeAction` and `codeAction/resolve`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(
            types.TEXT_DOCUMENT_CODE_ACTION,
            self.actions,
            types.CodeActionOptions([types.CodeActionKind.QuickFix, FIX_ALL], resolve_provider=True),
        )
        self._server.handle(types.CODE_ACTION_RESOLVE, self.resolve)

    async def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        analysed = await self._server.analyses.current(uri)
        if analysed is None or analysed.source.part_of(uri) is None:
            return []
        found: list[types.CodeAction] = []
        if _wanted(types.CodeActionKind.QuickFix.value, params.context.only):
            for diagnostic, finding in self._asked_for(analysed, params):
                found += self._of_finding(analysed, diagnostic, finding)
            found += self._of_probe(analysed, params)
        if _wanted(FIX_ALL, params.context.only) and any(f.preferred_fix for f in analysed.findings):
            found.append(self._fix_all(analysed, uri))
        return found

    async def resolve(self, action: types.CodeAction) -> types.CodeAction:
        """Make the edit of "fix all", of the text as it is now."""
        uri = action.data.get("uri") if isinstance(action.data, dict) else None
        if isinstance(uri, str) and action.edit is None:
            analysed = await self._server.analyses.current(uri)
            if analysed is not None:
                action.edit = self._edit(analysed, safe_edits(analysed.source.text, analysed.findings))
        return action

    def _fix_all(self, analysed: Analysed, uri: str) -> types.CodeAction:
        action = types.CodeAction(FIX_ALL_TITLE, kind=FIX_ALL)
        if self._server.client.resolves_edits:
            action.data = {"uri": uri}
        else:
            action.edit = self._edit(analysed, safe_edits(analysed.source.text, analysed.findings))
        return action

    def _asked_for(
        self, analysed: Analysed, params: types.CodeActionParams
    ) -> Iterator[tuple[types.Diagnostic, Finding]]:
        """The findings that the client asks about: by its diagnostics, or by the range if it sends none of
        ours."""
        uri = params.text_document.uri
        ours = [diagnostic for diagnostic in params.context.diagnostics if diagnostic.source == SOURCE]
        if ours:
            for diagnostic in ours:
                finding = self._found_again(analysed, diagnostic)
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

    def _found_again(self, analysed: Analysed, diagnostic: types.Diagnostic) -> Finding | None:
        """The finding of the newest text that a diagnostic, perhaps of an older one, was made of."""
        same = [finding for finding in analysed.findings if finding.code == diagnostic.code]
        if isinstance(diagnostic.data, dict):
            key = diagnostic.data.get("key")
            return next((finding for finding in same if finding.key == key), None)
        encoding = self._server.client.encoding
        return next((f for f in same if analysed.source.locate(f.span, encoding)[1] == diagnostic.range), None)

    def _of_finding(
        self, analysed: Analysed, diagnostic: types.Diagnostic, finding: Finding
    ) -> Iterator[types.CodeAction]:
        from gradsense.lsp.suppress import suppress_in_file, suppress_on_line

        kind = types.CodeActionKind.QuickFix
        for fix in finding.fixes:
            if fix.safety is not Safety.DISPLAY_ONLY and fix.edits:
                yield types.CodeAction(
                    fix.title,
                    kind=kind,
                    diagnostics=[diagnostic],
                    is_preferred=fix is finding.preferred_fix,
                    edit=self._edit(analysed, fix.edits),
                )
        text, cells = analysed.source.text, analysed.source.cells
        suppressions = (
            (f"Ignore {finding.name} on this line", suppress_on_line(text, cells, finding)),
            (f"Ignore {finding.name} in this file", suppress_in_file(text, cells, finding)),
        )
        for title, edit in suppressions:
            if edit is not None:
                yield types.CodeAction(title, kind=kind, diagnostics=[diagnostic], edit=self._edit(analysed, [edit]))
        confirm = self._server.probes.command_to_confirm(analysed, finding)
        if confirm is not None:
            yield types.CodeAction(confirm.title, kind=kind, diagnostics=[diagnostic], command=confirm)
        title = f"Show rule {finding.code} {finding.name}"
        command = self._server.explain.command_for(finding.code, title)
        yield types.CodeAction(title, kind=kind, diagnostics=[diagnostic], command=command)

    def _of_probe(self, analysed: Analysed, params: types.CodeActionParams) -> Iterator[types.CodeAction]:
        """On the line of a class that was probed: to write down what was made up."""
        if analysed.source.is_notebook:
            return
        for title, edit in self._server.probes.hints_at(analysed, params.range.start.line):
            kind = types.CodeActionKind.QuickFix
            yield types.CodeAction(title, kind=kind, edit=self._edit(analysed, [edit]))

    def _edit(self, analysed: Analysed, edits: Iterable[Edit]) -> types.WorkspaceEdit:
        """The edits for the documents that they lie in, with versions where the client takes them."""
        encoding = self._server.client.encoding
        by_uri: dict[str, list[types.TextEdit]] = {}
        for edit in edits:
            uri, where = analysed.source.locate(edit.span, encoding)
            by_uri.setdefault(uri, []).append(types.TextEdit(where, edit.text))
        if not self._server.client.takes_document_changes:
            return types.WorkspaceEdit(changes=by_uri)
        return types.WorkspaceEdit(
            document_changes=[
                types.TextDocumentEdit(
                    types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=part.version),
                    list(changes),
                )
                for uri, changes in by_uri.items()
                if (part := analysed.source.part_of(uri)) is not None
            ]
        )


def _wanted(kind: str, only: Iterable[str] | None) -> bool:
    """Whether the client asks for a kind, by itself or by one that it belongs to."""
    if only is None:
        return True
    return any(not asked or kind == asked or kind.startswith(f"{asked}.") for asked in map(_value, only))


def _value(kind: str) -> str:
    return str(getattr(kind, "value", kind))
