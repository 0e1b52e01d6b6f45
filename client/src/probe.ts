// The probe's commands: run it under a progress that can be cancelled, tell the verdict, show the report.
import { commands, type Disposable, ProgressLocation, window, workspace } from 'vscode';
import type { Location } from 'vscode-languageclient/node';
import {
  type LanguageClient,
  LSPErrorCodes,
  ResponseError,
  WorkDoneProgress,
} from 'vscode-languageclient/node';
import { ReportPanel } from './panel';
import { type ProbeParams, type ProbeResult, placeRequest, probeRequest } from './protocol';
import type { Session } from './session';

/** Stands for a class's name where the file itself is run, as a script. */
const script = '__main__';

export class Probe implements Disposable {
  readonly #session: Session;
  readonly #text = window.createOutputChannel('GradSense Probe');
  readonly #panel = new ReportPanel({
    placeNow: (number) => this.#placeNow(number),
    again: () => this.#again(),
  });
  #runs = 0;
  #last: Pick<ProbeParams, 'uri' | 'target'> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** From a lens with its file and class; from a menu with what the editor passes, then for the class at the cursor. */
  async run(uri: unknown, target: unknown): Promise<void> {
    if (!workspace.isTrusted) {
      await askForTrust();
      return;
    }
    const ofLens = typeof uri === 'string' && typeof target === 'string';
    const request = ofLens ? { uri, target, position: null } : modelAtCursor();
    if (!request) {
      void window.showWarningMessage(
        'No Python file is open. Put the cursor into a model class, then run the probe.',
      );
      return;
    }
    const client = await this.#session.client();
    if (!client) {
      return;
    }
    this.#runs += 1;
    const params: ProbeParams = { ...request, page: true, workDoneToken: `gradsense-probe-${this.#runs}` };
    try {
      const result = await requestWithProgress(client, params);
      this.#last = { uri: params.uri, target: result.target ?? params.target };
      await this.#tell(result);
    } catch (error) {
      if (!isCancellation(error)) {
        const reason = error instanceof Error ? error.message : String(error);
        void window.showErrorMessage(`The probe did not run: ${reason}. The server's log says more.`);
      }
    }
  }

  async #again(): Promise<void> {
    if (this.#last) {
      await this.run(this.#last.uri, this.#last.target);
    }
  }

  async #placeNow(place: number): Promise<Location | undefined> {
    const client = await this.#session.client();
    return (await client?.sendRequest(placeRequest, { place })) ?? undefined;
  }

  /** As a page; as text where the server makes no pages. */
  showReport(): void {
    if (this.#panel.hasPage) {
      this.#panel.show();
    } else {
      this.showText();
    }
  }

  showText(): void {
    this.#text.show(true);
  }

  dispose(): void {
    this.#text.dispose();
    this.#panel.dispose();
  }

  async #tell(result: ProbeResult): Promise<void> {
    const hasReport = result.text !== '';
    if (hasReport) {
      this.#text.replace(result.text);
      if (result.html !== undefined) {
        const { html, report, places = [] } = result;
        this.#panel.update({ title: `Probe: ${report?.target ?? ''}`, html, places });
      }
      await commands.executeCommand('setContext', 'gradsense.hasProbeReport', true);
    }
    if ((await showVerdict(result, hasReport ? ['Show report'] : [])) !== undefined) {
      this.showReport();
    }
  }
}

function showVerdict(result: ProbeResult, buttons: string[]): Thenable<string | undefined> {
  if (result.error !== null) {
    return window.showErrorMessage(result.error, ...buttons);
  }
  return result.ok
    ? window.showInformationMessage(result.summary, ...buttons)
    : window.showWarningMessage(result.summary, ...buttons);
}

function modelAtCursor(): Pick<ProbeParams, 'uri' | 'target' | 'position'> | undefined {
  const editor = window.activeTextEditor;
  if (editor?.document.languageId !== 'python') {
    return undefined;
  }
  const { line, character } = editor.selection.active;
  return { uri: editor.document.uri.toString(), target: null, position: { line, character } };
}

function requestWithProgress(client: LanguageClient, params: ProbeParams): Promise<ProbeResult> {
  const title = `Probing ${params.target === script ? 'the script' : (params.target ?? 'the model at the cursor')}`;
  const options = { location: ProgressLocation.Notification, title, cancellable: true };
  return Promise.resolve(
    window.withProgress(options, async (progress, cancellation) => {
      const listener = client.onProgress(WorkDoneProgress.type, params.workDoneToken, (value) => {
        if (value.kind !== 'end' && value.message !== undefined) {
          progress.report({ message: value.message });
        }
      });
      try {
        return await client.sendRequest(probeRequest, params, cancellation);
      } finally {
        listener.dispose();
      }
    }),
  );
}

function isCancellation(error: unknown): boolean {
  return (
    error instanceof ResponseError &&
    (error.code === LSPErrorCodes.RequestCancelled || error.code === LSPErrorCodes.ServerCancelled)
  );
}

async function askForTrust(): Promise<void> {
  const manage = 'Manage Workspace Trust';
  const message =
    'The probe runs your code, and this workspace is in Restricted Mode. Trust the workspace first.';
  if ((await window.showWarningMessage(message, manage)) === manage) {
    await commands.executeCommand('workbench.trust.manage');
  }
}
