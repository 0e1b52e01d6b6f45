// Which server runs, and why.
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { type ExtensionContext, workspace } from 'vscode';
import type { Interpreter } from './interpreter';
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
 * The bundled one comes before the user's environment because starting that runs the user's files.
 */
export function chooseServer(context: ExtensionContext, interpreter: Interpreter): Server {
  return (
    configuredServer() ??
    bundledServer(context) ??
    environmentServer(interpreter) ??
    serverOnPath() ??
    fail('No GradSense server found. Run `pip install gradsense`, or set gradsense.server.path.')
  );
}

function configuredServer(): Server | undefined {
  const setting = workspace.getConfiguration('gradsense').get('server.path', '').trim();
  if (!setting) {
    return undefined;
  }
  const file = fromWorkspaceFolder(setting);
  if (!isExecutable(file)) {
    fail(`gradsense.server.path names ${file}, which is no executable file. Correct or clear the setting.`);
  }
  const reason = `${file}, set in gradsense.server.path`;
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
      'No Python found on PATH to run the bundled server. Install Python 3.10 or newer, or set gradsense.server.path.',
    );
  // -S: no .pth file of that Python's site-packages is run.
  return {
    command: python,
    args: ['-I', '-S', launcher, 'server', '--stdio'],
    reason: `bundled, run by ${python}`,
  };
}

function environmentServer(interpreter: Interpreter): Server | undefined {
  if (interpreter.path === null || !workspace.isTrusted) {
    return undefined;
  }
  const script = path.join(path.dirname(interpreter.path), executableName('gradsense'));
  return existsSync(script)
    ? fromInterpreter(interpreter.path, `installed in the environment of ${interpreter.path}`)
    : undefined;
}

function serverOnPath(): Server | undefined {
  const command = findOnPath(['gradsense']);
  return command ? { command, args: ['server', '--stdio'], reason: `${command}, found on PATH` } : undefined;
}

function fromInterpreter(python: string, reason: string): Server {
  return { command: python, args: ['-I', '-m', 'gradsense', 'server', '--stdio'], reason };
}

function fail(message: string): never {
  throw new NoServerError(message);
}
