// The interpreter that the probe runs the user's model with.
import { type Event, extensions, type Uri, workspace } from 'vscode';
import { fromWorkspaceFolder } from './paths';

export interface Interpreter {
  /** Null: the server looks for one when a probe is asked for. */
  path: string | null;
  /** Where the choice comes from, for the status item. */
  reason: string;
}

/** The part of the Python extension's API that is used here. */
interface PythonEnvironments {
  getActiveEnvironmentPath(resource?: Uri): { readonly id: string; readonly path: string };
  resolveEnvironment(environment: {
    readonly id: string;
    readonly path: string;
  }): Promise<{ readonly executable: { readonly uri: Uri | undefined } } | undefined>;
  readonly onDidChangeActiveEnvironmentPath: Event<unknown>;
}

/** The Python extension's environments, or undefined: it is asked if it is there, never required. */
async function pythonEnvironments(): Promise<PythonEnvironments | undefined> {
  const extension = extensions.getExtension<{ environments?: PythonEnvironments }>('ms-python.python');
  return (await extension?.activate())?.environments;
}

export async function onDidChangePythonEnvironment(
  changed: () => Promise<void>,
): Promise<{ dispose(): void } | undefined> {
  return (await pythonEnvironments())?.onDidChangeActiveEnvironmentPath(changed);
}

export async function chooseInterpreter(): Promise<Interpreter> {
  if (!workspace.isTrusted) {
    return { path: null, reason: 'no probe before the workspace is trusted' };
  }
  const configured = workspace.getConfiguration('gradsense').get('interpreter', '').trim();
  if (configured) {
    return { path: fromWorkspaceFolder(configured), reason: 'set in gradsense.interpreter' };
  }
  const environments = await pythonEnvironments();
  if (environments) {
    const active = environments.getActiveEnvironmentPath(workspace.workspaceFolders?.[0]?.uri);
    const executable = (await environments.resolveEnvironment(active))?.executable.uri;
    if (executable) {
      return { path: executable.fsPath, reason: "the Python extension's choice" };
    }
  }
  return { path: null, reason: 'looked for when a probe runs' };
}
