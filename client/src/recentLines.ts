// The last lines of a log.

export class RecentLines {
  readonly #most: number;
  readonly #lines: string[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  /** A message of several lines counts as that many. */
  add(level: string, message: string): void {
    const time = new Date().toISOString();
    this.#lines.push(...message.split('\n').map((line) => `${time} [${level}] ${line}`));
    this.#lines.splice(0, this.#lines.length - this.#most);
  }
}
