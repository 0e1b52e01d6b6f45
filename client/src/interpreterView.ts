// Keeps the status item on what a probe of the file in front would run with.
import { commands, type Disposable, l10n, type TextDocument, window, workspace } from 'vscode';
import type { Interpreters } from './interpreter';
import type { Session } from './session';
import { InterpreterStatus } from './status';

export class InterpreterView implements Disposable {
  readonly #session: Session;
  readonly #interpreters: Interpreters;
  readonly #status = new InterpreterStatus();
  readonly #listeners: Disposable;

  constructor(session: Session, interpreters: Interpreters) {
    this.#session = session;
    this.#interpreters = interpreters;
    const ofSession = session.onDidChange(() => this.#update());
    const ofEditors = window.onDidChangeActiveTextEditor(() => this.#update());
    this.#listeners = {
      dispose: () => {
        ofSession.dispose();
        ofEditors.dispose();
      },
    };
  }

  dispose(): void {
    this.#listeners.dispose();
    this.#status.dispose();
  }

  async #update(): Promise<void> {
    const document = programInSight();
    if (!document) {
      return;
    }
    if (!workspace.isTrusted) {
      this.#status.unknown(l10n.t('no probe before the workspace is trusted'));
      return;
    }
    const found = await this.#session.interpreterOf(document.uri);
    if (document !== programInSight()) {
      return;
    }
    if (found) {
      this.#status.found(found, this.#interpreters.of(document.uri));
      await commands.executeCommand('setContext', 'gradsense.hasInterpreter', found.interpreter !== null);
    } else {
      this.#status.unknown(l10n.t('needs the server'));
    }
  }
}

/** The program in front; where a dialogue or a panel is, such as that for trust, the one behind it. */
function programInSight(): TextDocument | undefined {
  const documents = [window.activeTextEditor, ...window.visibleTextEditors].map((editor) => editor?.document);
  return documents.find((document) => document?.languageId === 'python');
}
