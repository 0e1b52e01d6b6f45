// The running server: started, stopped, started afresh when a choice changes, told when trust is granted.
import {
  type ExtensionContext,
  type LogOutputChannel,
  type Position,
  type TextDocument,
  type Uri,
  window,
  workspace,
} from 'vscode';
import { InlayHintRequest, LanguageClient, State } from 'vscode-languageclient/node';
import { chooseInterpreter, type Interpreter } from './interpreter';
import { type InitializationOptions, trustNotification } from './protocol';
import { chooseServer, NoServerError, type Server } from './server';
import { documentSelector, type ServerStatus } from './status';

/** Whether the user wants the probe's results behind the lines of a file. */
function showsHints(uri: Uri): boolean {
  return workspace.getConfiguration('gradsense', uri).get('inlayHints.probe', true);
}

/** The device that the user has chosen for probes; null: the server's configuration says. */
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

interface Launch {
  server: Server;
  interpreter: Interpreter;
  device: string | null;
}

export class Session {
  readonly #context: ExtensionContext;
  readonly #log: LogOutputChannel;
  readonly #status: ServerStatus;
  #client: LanguageClient | undefined;
  #launch: Launch | undefined;
  /** Starts and stops run one after the other, in the order they were asked for. */
  #queue: Promise<void> = Promise.resolve();

  constructor(context: ExtensionContext, log: LogOutputChannel, status: ServerStatus) {
    this.#context = context;
    this.#log = log;
    this.#status = status;
  }

  /** The running client; undefined, after telling the user, when there is none. */
  async client(): Promise<LanguageClient | undefined> {
    await this.#queue;
    if (this.#client?.isRunning()) {
      return this.#client;
    }
    void this.#tell('The GradSense server is not running.');
    return undefined;
  }

  restart(): Promise<void> {
    return this.#enqueue(() => this.#startAfresh());
  }

  stop(): Promise<void> {
    return this.#enqueue(() => this.#stop());
  }

  /** Starts afresh only if the settings, trust or the Python extension now choose differently. */
  refresh(): Promise<void> {
    return this.#enqueue(async () => {
      const launch = await this.#choose();
      if (!sameProcess(launch, this.#launch)) {
        await this.#startAfresh();
      }
    });
  }

  trustGranted(): Promise<void> {
    return this.#enqueue(async () => {
      const launch = await this.#choose();
      if (launch && this.#client?.isRunning() && sameProcess(launch, this.#launch)) {
        this.#launch = launch;
        this.#status.running(launch.server, launch.interpreter, this.#client.initializeResult?.serverInfo);
        await this.#client.sendNotification(trustNotification, { trusted: true });
      } else {
        await this.#startAfresh();
      }
    });
  }

  /** Has the editor ask again for the hints of what it shows. */
  refreshHints(): void {
    const feature = this.#client?.getFeature(InlayHintRequest.method);
    for (const { document } of window.visibleTextEditors) {
      feature?.getProvider(document)?.onDidChangeInlayHints.fire();
    }
  }

  #enqueue(action: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(action).catch((error: unknown) => this.#fail(error));
    return this.#queue;
  }

  async #startAfresh(): Promise<void> {
    await this.#stop();
    await this.#start();
  }

  async #choose(): Promise<Launch | undefined> {
    try {
      const interpreter = await chooseInterpreter();
      return { interpreter, server: chooseServer(this.#context, interpreter), device: chosenDevice() };
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  async #start(): Promise<void> {
    this.#status.starting();
    const launch = await this.#choose();
    this.#launch = launch;
    if (!launch) {
      return;
    }
    const { server, interpreter } = launch;
    this.#log.info(`Server: ${[server.command, ...server.args].join(' ')} (${server.reason})`);
    this.#log.info(`Interpreter for probes: ${interpreter.path ?? 'none yet'} (${interpreter.reason})`);
    const initializationOptions: InitializationOptions = {
      trusted: workspace.isTrusted,
      interpreter: interpreter.path,
      probeDevice: launch.device,
      clientCommands: true,
    };
    const client = new LanguageClient(
      'gradsense',
      'GradSense',
      // Not the workspace as working directory: a wrapper like pyenv would let its files choose the Python.
      { command: server.command, args: server.args, options: { cwd: this.#context.extensionPath } },
      {
        documentSelector,
        initializationOptions,
        outputChannel: this.#log,
        diagnosticPullOptions: { onChange: true },
        middleware: {
          provideInlayHints: (document, range, token, next) =>
            showsHints(document.uri) ? next(document, range, token) : [],
          provideCompletionItem: (document, position, context, token, next) =>
            mayComplete(document, position) ? next(document, position, context, token) : [],
        },
      },
    );
    this.#client = client;
    client.onDidChangeState(({ newState }) => {
      if (this.#client !== client) {
        return;
      }
      if (newState === State.Running) {
        this.#status.running(server, interpreter, client.initializeResult?.serverInfo);
      } else if (newState === State.Starting) {
        this.#status.starting();
      } else {
        this.#status.stopped('The server has stopped. Its log says why.');
      }
    });
    await client.start();
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#launch = undefined;
    await client?.dispose();
  }

  #fail(error: unknown): void {
    if (error instanceof NoServerError) {
      this.#log.error(error.message);
      this.#status.stopped(error.message);
      void this.#tell(error.message);
    } else {
      this.#log.error(error instanceof Error ? error : String(error));
      this.#status.stopped('The server did not start. Its log says why.');
      void this.#tell('The GradSense server did not start. Its log says why.');
    }
  }

  async #tell(message: string): Promise<void> {
    const showLog = 'Show Log';
    const restart = 'Restart';
    const choice = await window.showErrorMessage(message, restart, showLog);
    if (choice === restart) {
      await this.restart();
    } else if (choice === showLog) {
      this.#log.show();
    }
  }
}

function sameProcess(a: Launch | undefined, b: Launch | undefined): boolean {
  const identity = (launch: Launch | undefined): string =>
    JSON.stringify([launch?.server.command, launch?.server.args, launch?.interpreter.path, launch?.device]);
  return identity(a) === identity(b);
}
