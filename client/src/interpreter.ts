// The interpreters that probes run the user's models with: for each folder, the choice of whoever knows one first.
import {
  type Disposable,
  EventEmitter,
  extensions,
  type LogOutputChannel,
  l10n,
  type Uri,
  workspace,
} from 'vscode';
import { fromWorkspaceFolder, isExecutable } from './paths';
import type { InterpreterChoice } from './protocol';
import { environmentsExtension, pythonExtension } from './pythonExtensions';

export interface Interpreter {
  path: string;
  /** Where the choice comes from, for the status item. */
  reason: string;
}

/** Somebody who may know the interpreter for the files of a folder, or for those outside of all folders. */
interface Source {
  choose(folder: Uri | undefined): Promise<Interpreter | undefined>;
  /** Calls back after each change; undefined if there is nobody to listen to. */
  follow?(changed: () => void): Promise<Disposable | undefined>;
}

/**
 * In this order. What is set for GradSense alone goes first: whoever sets it wants another one than the Python
 * extension's. If nobody knows any, the server looks for one: in the folder, then on PATH.
 */
const sources: readonly Source[] = [
  { choose: async (folder) => ownSetting(folder) },
  environmentsExtension,
  pythonExtension,
  { choose: async (folder) => pythonSetting(folder) },
];

export class Interpreters implements Disposable {
  readonly #log: LogOutputChannel;
  readonly #changed = new EventEmitter<void>();
  readonly #followed = new Map<Source, Disposable>();
  readonly #listeners: Disposable[] = [];
  #known: ReadonlyMap<string, Interpreter> = new Map();
  #latest: Promise<void> = Promise.resolve();

  /** Fires when any folder's choice is another one. */
  readonly onDidChange = this.#changed.event;

  constructor(log: LogOutputChannel) {
    this.#log = log;
    this.#listeners.push(
      extensions.onDidChange(() => this.refresh()),
      workspace.onDidChangeWorkspaceFolders(() => this.refresh()),
      workspace.onDidGrantWorkspaceTrust(() => this.refresh()),
      workspace.onDidChangeConfiguration(async (change) => {
        if (
          change.affectsConfiguration('gradsense.interpreter') ||
          change.affectsConfiguration('python.defaultInterpreterPath')
        ) {
          await this.refresh();
        }
      }),
    );
  }

  /** Asks everybody again. */
  refresh(): Promise<void> {
    this.#latest = this.#latest.then(() => this.#ask());
    return this.#latest;
  }

  /** Done when everybody who was asked has answered. */
  async settled(): Promise<void> {
    await this.#latest;
  }

  /** The choice for a file, as far as it is known by now. */
  of(file: Uri | undefined): Interpreter | undefined {
    const folder = file && workspace.getWorkspaceFolder(notebookOf(file) ?? file);
    return this.#known.get(keyOf(folder?.uri)) ?? this.#known.get(keyOf(undefined));
  }

  /** All choices, as the server takes them. */
  get choice(): InterpreterChoice {
    const folders = (workspace.workspaceFolders ?? []).flatMap(({ uri }) => {
      const interpreter = this.#known.get(keyOf(uri))?.path;
      return interpreter === undefined ? [] : [{ uri: uri.toString(), interpreter }];
    });
    return { interpreter: this.#known.get(keyOf(undefined))?.path ?? null, folders };
  }

  dispose(): void {
    for (const listener of [...this.#listeners, ...this.#followed.values()]) {
      listener.dispose();
    }
    this.#changed.dispose();
  }

  /** Only in a trusted workspace: other extensions may run the interpreters that they find. */
  async #ask(): Promise<void> {
    const known = new Map<string, Interpreter>();
    if (workspace.isTrusted) {
      await this.#follow();
      const folders = (workspace.workspaceFolders ?? []).map(({ uri }) => uri);
      for (const folder of [undefined, ...folders]) {
        const interpreter = await this.#first(folder);
        if (interpreter) {
          known.set(keyOf(folder), interpreter);
        }
      }
    }
    const isNew = JSON.stringify([...known]) !== JSON.stringify([...this.#known]);
    this.#known = known;
    if (isNew) {
      this.#changed.fire();
    }
  }

  async #first(folder: Uri | undefined): Promise<Interpreter | undefined> {
    for (const source of sources) {
      try {
        const interpreter = await source.choose(folder);
        if (interpreter) {
          return interpreter;
        }
      } catch (error) {
        this.#log.warn(`An extension that was asked for an interpreter has failed: ${String(error)}`);
      }
    }
    return undefined;
  }

  async #follow(): Promise<void> {
    for (const source of sources.filter((each) => !this.#followed.has(each))) {
      try {
        const listener = await source.follow?.(() => void this.refresh());
        if (listener) {
          this.#followed.set(source, listener);
        }
      } catch (error) {
        this.#log.warn(`An extension that was asked for interpreters has failed: ${String(error)}`);
      }
    }
  }
}

/** The notebook that a document is a cell of: cells lie in no folder themselves. */
function notebookOf(document: Uri): Uri | undefined {
  const sought = document.toString();
  return workspace.notebookDocuments.find((notebook) =>
    notebook.getCells().some((cell) => cell.document.uri.toString() === sought),
  )?.uri;
}

function keyOf(folder: Uri | undefined): string {
  return folder?.toString() ?? '';
}

function ownSetting(folder: Uri | undefined): Interpreter | undefined {
  const setting = workspace.getConfiguration('gradsense', folder).get('interpreter', '').trim();
  return setting
    ? { path: fromWorkspaceFolder(setting, folder), reason: l10n.t('set in gradsense.interpreter') }
    : undefined;
}

/** What the Python extension would start with. Without it the setting may still be there, in shared settings. */
function pythonSetting(folder: Uri | undefined): Interpreter | undefined {
  const setting = workspace
    .getConfiguration('python', folder)
    .get<string>('defaultInterpreterPath', '')
    .trim();
  const path = setting && fromWorkspaceFolder(setting, folder);
  return path && isExecutable(path)
    ? { path, reason: l10n.t('set in python.defaultInterpreterPath') }
    : undefined;
}
