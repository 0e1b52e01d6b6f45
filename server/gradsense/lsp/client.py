"""What the client on the other side can do and wants, read once from its `initialize`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types

from gradsense.lsp.convert import Encoding, choose_encoding
from gradsense.lsp.interpreters import by_folder
from gradsense.lsp.logs import LEVELS


@dataclass(slots=True)
class Client:
    """The client's capabilities and its `initializationOptions`, as far as anything here depends on them."""

    encoding: Encoding
    pulls_diagnostics: bool
    """Whether it asks for diagnostics, also when the server says that there are others than before."""
    refreshes_lenses: bool
    refreshes_hints: bool
    takes_versions: bool
    takes_related_information: bool
    takes_code_description: bool
    takes_tags: frozenset[types.DiagnosticTag]
    takes_document_changes: bool
    creates_files: bool
    gives_settings: bool
    """Whether it can be asked for the user's settings."""
    tells_settings: bool
    """Whether it can be asked to tell when they change."""
    resolves_hints: bool
    settings: dict[str, Any]
    """The settings that it has sent by itself: a table `inlayHints`."""
    takes_markdown: bool
    takes_snippets: bool
    resolves_edits: bool
    shows_documents: bool
    shows_progress: bool
    watches_files: bool
    log_level: int
    wants_all_files: bool
    """Whether the user wants findings in files that aren't open, too."""
    runs_commands: bool
    """Whether the client has the commands of lens and actions itself; else the server executes its own."""
    interpreter: str | None
    """The interpreter that the user has chosen, if the client knows of one."""
    interpreters: dict[Path, str]
    """The same by open folder, where the client tells them apart."""
    probe_device: str | None
    """The device to probe on, if the user has chosen one in the client."""
    trusted: bool | None
    """Whether the user trusts the workspace; None: this client knows no such thing."""

    @property
    def may_probe(self) -> bool:
        """Whether a probe that the user asks for may run.

        Where the client knows no trust, asking for it says that the user's code may run.
        """
        return self.trusted is not False

    def choose(self, options: dict[str, Any]) -> bool:
        """The user has chosen interpreters; whether they are others than before."""
        before = self.interpreter, self.interpreters
        self.interpreter, self.interpreters = by_folder(options)
        return before != (self.interpreter, self.interpreters)

    @classmethod
    def of(cls, params: types.InitializeParams) -> Client:
        capabilities = params.capabilities
        options = params.initialization_options
        options = options if isinstance(options, dict) else {}
        text = capabilities.text_document or types.TextDocumentClientCapabilities()
        workspace = capabilities.workspace or types.WorkspaceClientCapabilities()
        window = capabilities.window or types.WindowClientCapabilities()
        pushed = text.publish_diagnostics or types.PublishDiagnosticsClientCapabilities()
        pulled = text.diagnostic
        shown = pulled or pushed
        tags = shown.tag_support or pushed.tag_support
        resolve = text.code_action and text.code_action.resolve_support
        trusted, device = options.get("trusted"), options.get("probeDevice")
        interpreter, interpreters = by_folder(options)
        return cls(
            encoding=choose_encoding(capabilities),
            pulls_diagnostics=bool(pulled and workspace.diagnostics and workspace.diagnostics.refresh_support),
            refreshes_lenses=bool(workspace.code_lens and workspace.code_lens.refresh_support),
            refreshes_hints=bool(workspace.inlay_hint and workspace.inlay_hint.refresh_support),
            takes_versions=bool(pushed.version_support),
            takes_related_information=bool(shown.related_information or pushed.related_information),
            takes_code_description=bool(shown.code_description_support or pushed.code_description_support),
            takes_tags=frozenset(tag for tag in tags.value_set if isinstance(tag, types.DiagnosticTag))
            if tags
            else frozenset(),
            takes_document_changes=bool(workspace.workspace_edit and workspace.workspace_edit.document_changes),
            gives_settings=workspace.configuration is True,
            tells_settings=bool(
                workspace.did_change_configuration and workspace.did_change_configuration.dynamic_registration
            ),
            resolves_hints=bool(
                text.inlay_hint
                and text.inlay_hint.resolve_support
                and "tooltip" in text.inlay_hint.resolve_support.properties
            ),
            settings=options,
            creates_files=_creates_files(workspace.workspace_edit),
            takes_snippets=_takes_snippets(text.completion),
            takes_markdown=_takes_markdown(text.hover),
            resolves_edits=bool(resolve and "edit" in resolve.properties),
            shows_documents=bool(window.show_document and window.show_document.support),
            shows_progress=bool(window.work_done_progress),
            watches_files=bool(
                workspace.did_change_watched_files and workspace.did_change_watched_files.dynamic_registration
            ),
            log_level=LEVELS.get(str(options.get("logLevel")), logging.WARNING),
            wants_all_files=options.get("workspaceDiagnostics") == "workspace",
            runs_commands=options.get("clientCommands") is True,
            interpreter=interpreter,
            interpreters=interpreters,
            probe_device=device if isinstance(device, str) and device else None,
            trusted=trusted if isinstance(trusted, bool) else None,
        )


def _creates_files(edit: types.WorkspaceEditClientCapabilities | None) -> bool:
    operations = (edit and edit.document_changes and edit.resource_operations) or ()
    return types.ResourceOperationKind.Create in operations


def _takes_snippets(completion: types.CompletionClientCapabilities | None) -> bool:
    return bool(completion and completion.completion_item and completion.completion_item.snippet_support)


def _takes_markdown(hover: types.HoverClientCapabilities | None) -> bool:
    return bool(hover and hover.content_format and types.MarkupKind.Markdown in hover.content_format)
