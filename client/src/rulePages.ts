// A rule's page, asked from the server, in the editor's Markdown preview.
import {
  commands,
  l10n,
  languages,
  type QuickPickItem,
  type TextDocumentContentProvider,
  Uri,
  window,
} from 'vscode';
import { explainRequest, type RuleSummary, rulesRequest } from './protocol';
import type { Session } from './session';

export const rulePageScheme = 'gradsense-rule';

export class RulePages implements TextDocumentContentProvider {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const client = await this.#session.client();
    const rule = uri.path.replace(/\.md$/, '');
    return client ? (await client.sendRequest(explainRequest, { rule })).markdown : '';
  }

  /** From a code action with the rule's code; from the palette without, then the user is asked. */
  async show(rule?: string): Promise<void> {
    const code = rule ?? (await this.#askForRule());
    if (code) {
      await commands.executeCommand(
        'markdown.showPreview',
        Uri.from({ scheme: rulePageScheme, path: `${code}.md` }),
      );
    }
  }

  /** Of all rules, that of the finding at the cursor first. */
  async #askForRule(): Promise<string | undefined> {
    const client = await this.#session.client();
    if (!client) {
      return undefined;
    }
    const here = ruleAtCursor();
    const rules = await client.sendRequest(rulesRequest, {});
    const items = [
      ...rules.filter(({ code }) => code === here),
      ...rules.filter(({ code }) => code !== here),
    ].map(itemOf);
    const chosen = await window.showQuickPick(items, {
      title: l10n.t('Explain a Rule'),
      placeHolder: l10n.t('Code, name or words of the rule'),
      matchOnDescription: true,
      matchOnDetail: true,
    });
    return chosen?.label;
  }
}

function itemOf({ code, name, summary }: RuleSummary): QuickPickItem {
  return { label: code, description: name, detail: summary };
}

function ruleAtCursor(): string | undefined {
  const editor = window.activeTextEditor;
  const diagnostic =
    editor &&
    languages
      .getDiagnostics(editor.document.uri)
      .find(({ source, range }) => source === 'gradsense' && range.contains(editor.selection.active));
  const code = diagnostic?.code;
  return code === undefined ? undefined : String(typeof code === 'object' ? code.value : code);
}
