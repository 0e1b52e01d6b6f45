// Which server runs, and why.
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { type ExtensionContext, l10n, workspace } from 'vscode';
import type { Interpreters } from './interpreter';
import { executableName, findOnPath, fromWorkspaceFolder, isExecutable } from './paths';

export interface Server {
  command: string;
  args: string[];
  /** Where the choice comes from, for the status item. */
  reason: string;
}

/** No server can be started; the message names the next step. */
export class NoServerError extends Error {}

/**
 * The setting, else the bundled server, else an environment that has GradSense.
 *
 * The bundled one comes before the user's environment because starting that runs the user's files. Only for that are
 * the interpreters waited for: finding them may take other extensions seconds.
 */
export async function chooseServer(context: ExtensionContext, interpreters: Interpreters): Promise<Server> {
  return (
    configuredServer() ??
    bundledServer(context) ??
    (await environmentServer(interpreters)) ??
    serverOnPath() ??
    fail(l10n.t('No GradSense server found. Run `pip install gradsense`, or set gradsense.server.path.'))
  );
}

function configuredServer(): Server | undefined {
  const setting = workspace.getConfiguration('gradsense').get('server.path', '').trim();
  if (!setting) {
    return undefined;
  }
  const file = fromWorkspaceFolder(setting);
  if (!isExecutable(file)) {
    fail(
      l10n.t(
        'gradsense.server.path names {0}, which is no executable file. Correct or clear the setting.',
        file,
      ),
    );
  }
  const reason = l10n.t('{0}, set in gradsense.server.path', file);
  return path.basename(file).startsWith('python')
    ? fromInterpreter(file, reason)
    : { command: file, args: ['server', '--stdio'], reason };
}

function bundledServer(context: ExtensionContext): Server | undefined {
  const launcher = context.asAbsolutePath(path.join('bundled', 'launch.py'));
  if (!existsSync(launcher)) {
    return undefined;
  }
  const python =
    findOnPath(['python3', 'python']) ??
    fail(
      l10n.t(
        'No Python found on PATH to run the bundled server. Install Python 3.10 or newer, or set gradsense.server.path.',
      ),
    );
  // -S: no .pth file of that Python's site-packages is run.
  return {
    command: python,
    args: ['-I', '-S', launcher, 'server', '--stdio'],
    reason: l10n.t('bundled, run by {0}', python),
  };
}

async function environmentServer(interpreters: Interpreters): Promise<Server | undefined> {
  if (!workspace.isTrusted) {
    return undefined;
  }
  await interpreters.settled();
  const python = interpreters.of(workspace.workspaceFolders?.[0]?.uri)?.path;
  const script = python && path.join(path.dirname(python), executableName('gradsense'));
  return script && existsSync(script)
    ? fromInterpreter(python, l10n.t('installed in the environment of {0}', python))
    : undefined;
}

function serverOnPath(): Server | undefined {
  const command = findOnPath(['gradsense']);
  return command
    ? { command, args: ['server', '--stdio'], reason: l10n.t('{0}, found on PATH', command) }
    : undefined;
}

function fromInterpreter(python: string, reason: string): Server {
  return { command: python, args: ['-I', '-m', 'gradsense', 'server', '--stdio'], reason };
}

function fail(message: string): never {
  throw new NoServerError(message);
}
