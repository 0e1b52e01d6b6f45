// The running server: started, stopped, started afresh when a choice changes, told of trust and interpreters.
import {
  type Disposable,
  EventEmitter,
  type ExtensionContext,
  type LogOutputChannel,
  l10n,
  type Position,
  type TextDocument,
  type Uri,
  window,
  workspace,
} from 'vscode';
import { LanguageClient, State } from 'vscode-languageclient/node';
import type { Interpreters } from './interpreter';
import { withoutLinks } from './plainText';
import {
  type FoundInterpreter,
  type InitializationOptions,
  interpreterRequest,
  interpretersNotification,
  troubleNotification,
  trustNotification,
} from './protocol';
import { chooseServer, NoServerError, type Server } from './server';
import { documentSelector, type ServerStatus } from './status';

/** The device that the user has chosen for probes; null: the project's configuration says. */
function chosenDevice(): string | null {
  const chosen = workspace.getConfiguration('gradsense').inspect<string>('probe.device');
  return chosen?.workspaceFolderValue ?? chosen?.workspaceValue ?? chosen?.globalValue ?? null;
}

/**
 * Whether there may be anything to complete: in a program only in our own comments.
 *
 * The editor shows no suggestions until everyone asked has answered; nobody is to wait for us at each word.
 */
function mayComplete(document: TextDocument, position: Position): boolean {
  const before = document.lineAt(position.line).text.slice(0, position.character);
  return document.languageId !== 'python' || before.includes('gradsense:');
}

export class Session implements Disposable {
  readonly #context: ExtensionContext;
  readonly #log: LogOutputChannel;
  readonly #status: ServerStatus;
  readonly #interpreters: Interpreters;
  /** Apart from the log: the messages hold what files say. */
  readonly #messages = window.createOutputChannel('GradSense Messages', { log: true });
  readonly #changed = new EventEmitter<void>();
  #client: LanguageClient | undefined;
  #server: Server | undefined;
  /** Starts and stops run one after the other, in the order they were asked for. */
  #queue: Promise<void> = Promise.resolve();

  /** Fires when the server runs, or no longer does, and when it knows other interpreters. */
  readonly onDidChange = this.#changed.event;

  constructor(
    context: ExtensionContext,
    log: LogOutputChannel,
    status: ServerStatus,
    interpreters: Interpreters,
  ) {
    this.#context = context;
    this.#log = log;
    this.#status = status;
    this.#interpreters = interpreters;
  }

  /** The running client; undefined, after telling the user, when there is none. */
  async client(): Promise<LanguageClient | undefined> {
    await this.#queue;
    if (this.#client?.isRunning()) {
      return this.#client;
    }
    void this.#tell(l10n.t('The GradSense server is not running.'));
    return undefined;
  }

  /** Which server runs, and why; undefined if there is none. */
  get server(): (Server & { version: string | undefined }) | undefined {
    const version = this.#client?.initializeResult?.serverInfo?.version;
    return this.#server && this.#client?.isRunning() ? { ...this.#server, version } : undefined;
  }

  restart(): Promise<void> {
    return this.#enqueue(() => this.#startAfresh());
  }

  stop(): Promise<void> {
    return this.#enqueue(() => this.#stop());
  }

  /** Starts afresh only if the settings, trust or an environment now choose another server. */
  refresh(): Promise<void> {
    return this.#enqueue(() => this.#refresh());
  }

  trustGranted(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#refresh();
      if (this.#client?.isRunning()) {
        await this.#client.sendNotification(trustNotification, { trusted: true });
        this.#changed.fire();
      }
    });
  }

  /** The server is told of a new choice as it runs. Only one from an environment may have to give way itself. */
  interpretersChanged(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#refresh();
      if (this.#client?.isRunning()) {
        await this.#client.sendNotification(interpretersNotification, this.#interpreters.choice);
        this.#changed.fire();
      }
    });
  }

  /** What a probe of a file would run with; undefined while there is no server to ask. */
  async interpreterOf(file: Uri): Promise<FoundInterpreter | undefined> {
    await this.#queue;
    return this.#client?.isRunning()
      ? this.#client.sendRequest(interpreterRequest, { uri: file.toString() })
      : undefined;
  }

  dispose(): void {
    this.#messages.dispose();
    this.#changed.dispose();
  }

  #enqueue(action: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(action).catch((error: unknown) => this.#fail(error));
    return this.#queue;
  }

  async #startAfresh(): Promise<void> {
    await this.#stop();
    await this.#start(await chooseServer(this.#context, this.#interpreters));
  }

  async #refresh(): Promise<void> {
    const server = await chooseServer(this.#context, this.#interpreters);
    if (!this.#client?.isRunning() || !isSame(server, this.#server)) {
      await this.#stop();
      await this.#start(server);
    }
  }

  async #start(server: Server): Promise<void> {
    this.#status.starting();
    this.#log.info(`Server: ${[server.command, ...server.args].join(' ')} (${server.reason})`);
    const client = new LanguageClient(
      'gradsense',
      'GradSense',
      // Not the workspace as working directory: a wrapper like pyenv would let its files choose the Python.
      { command: server.command, args: server.args, options: { cwd: this.#context.extensionPath } },
      {
        documentSelector,
        // Asked for anew when a server that has crashed is started again.
        initializationOptions: (): InitializationOptions => ({
          trusted: workspace.isTrusted,
          probeDevice: chosenDevice(),
          workspaceDiagnostics: workspace
            .getConfiguration('gradsense')
            .get('workspaceDiagnostics', 'openFilesOnly'),
          clientCommands: true,
          ...this.#interpreters.choice,
        }),
        outputChannel: this.#log,
        traceOutputChannel: this.#messages,
        diagnosticPullOptions: { onChange: true },
        middleware: {
          provideDiagnostics: (document, previous, token, next) =>
            this.#status.during(Promise.resolve(next(document, previous, token))),
          provideCompletionItem: (document, position, context, token, next) =>
            mayComplete(document, position) ? next(document, position, context, token) : [],
        },
      },
    );
    this.#client = client;
    this.#server = server;
    client.onNotification(troubleNotification, (trouble) => this.#status.trouble(trouble));
    client.onDidChangeState(({ newState }) => {
      if (this.#client !== client) {
        return;
      }
      if (newState === State.Running) {
        this.#status.running(server, client.initializeResult?.serverInfo);
        this.#changed.fire();
      } else if (newState === State.Starting) {
        this.#status.starting();
      } else {
        this.#status.stopped(l10n.t('The server has stopped. Its log says why.'));
        this.#changed.fire();
      }
    });
    await client.start();
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#server = undefined;
    await client?.dispose();
  }

  #fail(error: unknown): void {
    if (error instanceof NoServerError) {
      this.#log.error(error.message);
      this.#status.stopped(error.message);
      void this.#tell(error.message);
    } else {
      this.#log.error(error instanceof Error ? error : String(error));
      this.#status.stopped(l10n.t('The server did not start. Its log says why.'));
      void this.#tell(l10n.t('The GradSense server did not start. Its log says why.'));
    }
    this.#changed.fire();
  }

  async #tell(message: string): Promise<void> {
    const showLog = l10n.t('Show Log');
    const restart = l10n.t('Restart');
    const choice = await window.showErrorMessage(withoutLinks(message), restart, showLog);
    if (choice === restart) {
      await this.restart();
    } else if (choice === showLog) {
      this.#log.show();
    }
  }
}

function isSame(a: Server, b: Server | undefined): boolean {
  return JSON.stringify([a.command, a.args]) === JSON.stringify([b?.command, b?.args]);
}
