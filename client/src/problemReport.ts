// What somebody who looks into a problem has to know, as text to paste. Nothing that a file says is in it.

export interface Facts {
  /** What has a version: this extension, the editor, the extensions that are asked for interpreters. */
  versions: Readonly<Record<string, string>>;
  /** Where the editor and the server run. */
  place: string;
  server: string;
  /** By folder: the interpreter, and why that one. */
  interpreters: Readonly<Record<string, string>>;
  /** The settings that somebody has set, by name. */
  settings: Readonly<Record<string, unknown>>;
  log: readonly string[];
}

/** As Markdown. The user's name, as part of the home folder's path, is left out of it. */
export function problemReport(facts: Facts, home: string): string {
  const settings = Object.entries(facts.settings).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  const text = [
    '### GradSense',
    '',
    ...listed(facts.versions),
    `- Place: ${facts.place}`,
    `- Server: ${facts.server}`,
    ...listed(facts.interpreters),
    '',
    '### Settings that differ from the defaults',
    '',
    ...block(settings.length > 0 ? settings : ['none']),
    '',
    '### End of the log',
    '',
    ...block(facts.log.length > 0 ? facts.log : ['empty']),
    '',
  ].join('\n');
  return home.length > 1 ? text.replaceAll(home, '~') : text;
}

function listed(facts: Readonly<Record<string, string>>): string[] {
  return Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`);
}

/** Lines as they are, whatever they hold: the fence is longer than any in them. */
function block(lines: readonly string[]): string[] {
  const longest = Math.max(
    2,
    ...lines.flatMap((line) => (line.match(/`+/g) ?? []).map(({ length }) => length)),
  );
  const fence = '`'.repeat(longest + 1);
  return [`${fence}text`, ...lines, fence];
}
