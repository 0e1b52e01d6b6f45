// The log. It remembers its last lines, for a report about a problem.
import { type LogOutputChannel, type ViewColumn, window } from 'vscode';
import { RecentLines } from './recentLines';

export class Log implements LogOutputChannel {
  readonly #channel = window.createOutputChannel('GradSense', { log: true });
  readonly #recent = new RecentLines(50);

  /** What was told last, the messages between editor and server left out: they hold what files say. */
  get recent(): readonly string[] {
    return this.#recent.lines;
  }

  get name() {
    return this.#channel.name;
  }

  get logLevel() {
    return this.#channel.logLevel;
  }

  get onDidChangeLogLevel() {
    return this.#channel.onDidChangeLogLevel;
  }

  trace(message: string, ...details: unknown[]): void {
    this.#channel.trace(message, ...details);
  }

  debug(message: string, ...details: unknown[]): void {
    this.#channel.debug(message, ...details);
  }

  info(message: string, ...details: unknown[]): void {
    this.#recent.add('info', message);
    this.#channel.info(message, ...details);
  }

  warn(message: string, ...details: unknown[]): void {
    this.#recent.add('warning', message);
    this.#channel.warn(message, ...details);
  }

  error(error: string | Error, ...details: unknown[]): void {
    this.#recent.add('error', error instanceof Error ? (error.stack ?? error.message) : error);
    this.#channel.error(error, ...details);
  }

  append(value: string): void {
    this.#channel.append(value);
  }

  appendLine(value: string): void {
    this.#recent.add('info', value);
    this.#channel.appendLine(value);
  }

  replace(value: string): void {
    this.#channel.replace(value);
  }

  clear(): void {
    this.#channel.clear();
  }

  show(columnOrFocus?: ViewColumn | boolean, preserveFocus?: boolean): void {
    this.#channel.show(typeof columnOrFocus === 'boolean' ? columnOrFocus : preserveFocus);
  }

  hide(): void {
    this.#channel.hide();
  }

  dispose(): void {
    this.#channel.dispose();
  }
}
