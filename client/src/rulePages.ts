// A rule's page, asked from the server, in the editor's Markdown preview.
import { commands, languages, type TextDocumentContentProvider, Uri, window } from 'vscode';
import { explainRequest } from './protocol';
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
    const code = rule ?? (await askForRule());
    if (code) {
      await commands.executeCommand(
        'markdown.showPreview',
        Uri.from({ scheme: rulePageScheme, path: `${code}.md` }),
      );
    }
  }
}

async function askForRule(): Promise<string | undefined> {
  const code = await window.showInputBox({
    prompt: 'Code or name of the rule',
    placeHolder: 'GS105',
    value: ruleAtCursor() ?? '',
  });
  return code?.trim();
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
