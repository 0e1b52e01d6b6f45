import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { type Uri, workspace } from 'vscode';
import { absolute } from './settingPath';

/** A path as settings hold it, made absolute: relative ones count from their folder, or else from the first one. */
export function fromWorkspaceFolder(setting: string, of?: Uri): string {
  const folder = (of ?? workspace.workspaceFolders?.[0]?.uri)?.fsPath ?? '';
  return absolute(setting, folder, homedir());
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The first of `names` on PATH, leaving out what the workspace itself holds: that is the user's code. */
export function findOnPath(names: readonly string[]): string | undefined {
  const folders = (workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
  const isOutside = (file: string): boolean => !folders.some((folder) => isInside(folder, file));
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((entry) => path.isAbsolute(entry))
    .flatMap((entry) => names.map((name) => path.join(entry, executableName(name))))
    .find((file) => isOutside(file) && isExecutable(file));
}

export function executableName(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name;
}

function isInside(folder: string, file: string): boolean {
  const relative = path.relative(folder, file);
  return !relative.startsWith('..') && !path.isAbsolute(relative);
}
