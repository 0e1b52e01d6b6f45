// The language status item: which server runs, which interpreter a probe uses, and why.
import { type Disposable, LanguageStatusSeverity, languages } from 'vscode';
import type { Interpreter } from './interpreter';
import type { Server } from './server';

export const documentSelector = [
  { scheme: 'file', language: 'python' },
  { scheme: 'untitled', language: 'python' },
  { scheme: 'vscode-notebook-cell', language: 'python' },
  { scheme: 'file', pattern: '**/{pyproject,gradsense}.toml' },
];

export class ServerStatus implements Disposable {
  readonly #server = languages.createLanguageStatusItem('gradsense.server', documentSelector);
  readonly #interpreter = languages.createLanguageStatusItem('gradsense.interpreter', documentSelector);

  constructor() {
    this.#server.name = 'GradSense';
    this.#server.command = { command: 'gradsense.showLogs', title: 'Show Log' };
    this.#interpreter.name = 'GradSense Probe';
    this.#interpreter.command = {
      command: 'workbench.action.openSettings',
      title: 'Choose',
      arguments: ['gradsense.interpreter'],
    };
    this.starting();
  }

  starting(): void {
    this.#server.text = 'GradSense';
    this.#server.detail = 'starting';
    this.#server.busy = true;
    this.#server.severity = LanguageStatusSeverity.Information;
    this.#interpreter.text = 'Probe';
    this.#interpreter.detail = 'waits for the server';
  }

  running(server: Server, interpreter: Interpreter, info: { version?: string } | undefined): void {
    this.#server.text = `GradSense ${info?.version ?? ''}`.trimEnd();
    this.#server.detail = server.reason;
    this.#server.busy = false;
    this.#server.severity = LanguageStatusSeverity.Information;
    this.#interpreter.text = `Probe: ${interpreter.path ?? 'no interpreter chosen'}`;
    this.#interpreter.detail = interpreter.reason;
  }

  stopped(reason: string): void {
    this.#server.text = 'GradSense is not running';
    this.#server.detail = reason;
    this.#server.busy = false;
    this.#server.severity = LanguageStatusSeverity.Error;
    this.#interpreter.text = 'Probe';
    this.#interpreter.detail = 'needs the server';
  }

  dispose(): void {
    this.#server.dispose();
    this.#interpreter.dispose();
  }
}
