// The extensions that know Python environments. Each is asked if it is there, and none is required.
import { type Disposable, type Event, extensions, l10n, type Uri } from 'vscode';

export const environmentsExtensionId = 'ms-python.vscode-python-envs';
export const pythonExtensionId = 'ms-python.python';

interface Choice {
  path: string;
  reason: string;
}

/** The part of the Python Environments extension's API that is used here. */
interface EnvironmentsApi {
  getEnvironment(scope: Uri | undefined): Promise<PythonEnvironment | undefined>;
  resolveEnvironment(environment: PythonEnvironment): Promise<PythonEnvironment | undefined>;
  readonly onDidChangeEnvironment: Event<unknown>;
}

interface PythonEnvironment {
  readonly displayName: string;
  readonly execInfo?: { readonly run: { readonly executable: string } };
}

/** The part of the Python extension's API that is used here. */
interface PythonApi {
  readonly environments: {
    getActiveEnvironmentPath(resource?: Uri): EnvironmentPath;
    resolveEnvironment(
      environment: EnvironmentPath,
    ): Promise<{ readonly executable: { readonly uri: Uri | undefined } } | undefined>;
    readonly onDidChangeActiveEnvironmentPath: Event<unknown>;
  };
}

interface EnvironmentPath {
  readonly id: string;
  readonly path: string;
}

/** What an extension exports; undefined if it isn't there, is switched off by its settings, or has no such API. */
async function apiOf<Api>(id: string, member: keyof Api & string): Promise<Api | undefined> {
  const api: unknown = await extensions.getExtension(id)?.activate();
  return typeof api === 'object' && api !== null && member in api ? (api as Api) : undefined;
}

const environmentsApi = () => apiOf<EnvironmentsApi>(environmentsExtensionId, 'getEnvironment');
const pythonApi = () => apiOf<PythonApi>(pythonExtensionId, 'environments');

export const environmentsExtension = {
  async choose(folder: Uri | undefined): Promise<Choice | undefined> {
    const api = await environmentsApi();
    const active = await api?.getEnvironment(folder);
    const environment = active?.execInfo ? active : active && (await api?.resolveEnvironment(active));
    const path = environment?.execInfo?.run.executable;
    return path
      ? { path, reason: l10n.t("the Python Environments extension's choice, {0}", environment.displayName) }
      : undefined;
  },
  async follow(changed: () => void): Promise<Disposable | undefined> {
    return (await environmentsApi())?.onDidChangeEnvironment(changed);
  },
};

export const pythonExtension = {
  async choose(folder: Uri | undefined): Promise<Choice | undefined> {
    const environments = (await pythonApi())?.environments;
    const active = environments?.getActiveEnvironmentPath(folder);
    const path = active && (await environments?.resolveEnvironment(active))?.executable.uri?.fsPath;
    return path ? { path, reason: l10n.t("the Python extension's choice") } : undefined;
  },
  async follow(changed: () => void): Promise<Disposable | undefined> {
    return (await pythonApi())?.environments.onDidChangeActiveEnvironmentPath(changed);
  },
};
