// The language status items: which server runs, which interpreter a probe uses, why, and what is wrong with either.
import {
  type Disposable,
  type LanguageStatusItem,
  LanguageStatusSeverity,
  l10n,
  languages,
  workspace,
} from 'vscode';
import type { Interpreter } from './interpreter';
import { withoutLinks } from './plainText';
import type { FoundInterpreter, Trouble } from './protocol';
import type { Server } from './server';

export const documentSelector = [
  { scheme: 'file', language: 'python' },
  { scheme: 'untitled', language: 'python' },
  { scheme: 'vscode-notebook-cell', language: 'python' },
  { scheme: 'file', pattern: '**/{pyproject,gradsense}.toml' },
];

/** What the server calls the interpreter that was chosen on this side. */
const choiceToTheServer = 'the chosen interpreter';

/** An analysis that takes less is over before anybody has read that there is one. */
const patience = 500;

export class ServerStatus implements Disposable {
  readonly #item = newItem('gradsense.server', 'GradSense');
  #analyses = 0;
  #version = 'GradSense';

  constructor() {
    this.#item.command = { command: 'gradsense.showLogs', title: l10n.t('Show Log') };
    this.starting();
  }

  starting(): void {
    show(this.#item, 'GradSense', l10n.t('starting'), LanguageStatusSeverity.Information);
    this.#item.busy = true;
  }

  running(server: Server, info: { version?: string } | undefined): void {
    this.#version = `GradSense ${info?.version ?? ''}`.trimEnd();
    show(this.#item, this.#version, server.reason, LanguageStatusSeverity.Information);
    this.#item.busy = false;
  }

  stopped(reason: string): void {
    show(this.#item, l10n.t('GradSense is not running'), reason, LanguageStatusSeverity.Error);
    this.#item.busy = false;
  }

  /** The server runs, but something is not as it should be; the log says more. */
  trouble({ kind, rule, seconds, file }: Trouble): void {
    const what = rule ?? l10n.t('an analysis');
    if (kind === 'failed') {
      const detail = l10n.t('{0} has failed in {1}: some findings may be missing', what, file);
      show(this.#item, this.#version, detail, LanguageStatusSeverity.Error);
    } else {
      const detail = l10n.t('{0} is slow: {1} s in {2}', what, seconds.toFixed(1), file);
      show(this.#item, this.#version, detail, LanguageStatusSeverity.Warning);
    }
  }

  /** Shows that the server is at work while `analysis` goes on, unless it is done at once. */
  async during<T>(analysis: PromiseLike<T>): Promise<T> {
    this.#analyses += 1;
    const timer = setTimeout(() => {
      this.#item.busy = true;
    }, patience);
    try {
      return await analysis;
    } finally {
      clearTimeout(timer);
      this.#analyses -= 1;
      this.#item.busy &&= this.#analyses > 0;
    }
  }

  dispose(): void {
    this.#item.dispose();
  }
}

export class InterpreterStatus implements Disposable {
  readonly #item = newItem('gradsense.interpreter', l10n.t('GradSense Probe'));

  constructor() {
    this.#item.command = {
      command: 'workbench.action.openSettings',
      title: l10n.t('Choose'),
      arguments: ['gradsense.interpreter'],
    };
    this.unknown(l10n.t('waits for the server'));
  }

  unknown(why: string): void {
    show(this.#item, l10n.t('Probe'), why, LanguageStatusSeverity.Information);
  }

  /** What the server would take for the file in sight, where `chosen` is the choice on this side. */
  found(found: FoundInterpreter, chosen: Interpreter | undefined): void {
    // The server can't know where a choice comes from.
    const named = (words: string) => (chosen ? words.replaceAll(choiceToTheServer, chosen.reason) : words);
    if (found.interpreter === null) {
      const text = l10n.t('Probe: no interpreter with torch');
      show(this.#item, text, named(found.why), LanguageStatusSeverity.Warning);
      return;
    }
    const text = l10n.t('Probe: {0}', workspace.asRelativePath(found.interpreter));
    const taken = named(found.tried.at(-1) ?? found.why);
    if (chosen && !found.chosen) {
      // The server passes over a choice only if it can't do, and says what it lacks.
      const passed = named(found.tried.slice(0, -1).join(', '));
      show(this.#item, text, l10n.t('{0}; passed over: {1}', taken, passed), LanguageStatusSeverity.Warning);
    } else {
      show(this.#item, text, taken, LanguageStatusSeverity.Information);
    }
  }

  dispose(): void {
    this.#item.dispose();
  }
}

function newItem(id: string, name: string): LanguageStatusItem {
  const item = languages.createLanguageStatusItem(id, documentSelector);
  item.name = name;
  return item;
}

function show(
  item: LanguageStatusItem,
  text: string,
  detail: string,
  severity: LanguageStatusSeverity,
): void {
  item.text = text;
  item.detail = withoutLinks(detail);
  item.severity = severity;
}
