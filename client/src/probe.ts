// The probe's commands: run it under a progress that can be cancelled, tell the verdict, show the report.
import * as path from 'node:path';
import {
  commands,
  type Disposable,
  l10n,
  Position,
  ProgressLocation,
  type QuickPickItem,
  type TextDocument,
  window,
  workspace,
} from 'vscode';
import type { Location } from 'vscode-languageclient/node';
import {
  type LanguageClient,
  LSPErrorCodes,
  ResponseError,
  WorkDoneProgress,
} from 'vscode-languageclient/node';
import { ReportPanel } from './panel';
import { withoutLinks } from './plainText';
import {
  type ProbeParams,
  type ProbeResult,
  type ProbeTarget,
  placeRequest,
  probeRequest,
  targetsRequest,
} from './protocol';
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
      tellThatNoFileIsOpen();
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
        void window.showErrorMessage(
          l10n.t("The probe did not run: {0}. The server's log says more.", reason),
        );
      }
    }
  }

  /** Lets the user choose among all that the file in front has to probe. */
  async pick(): Promise<void> {
    if (!workspace.isTrusted) {
      await askForTrust();
      return;
    }
    const document = programInFront()?.document;
    if (!document) {
      tellThatNoFileIsOpen();
      return;
    }
    const client = await this.#session.client();
    if (!client) {
      return;
    }
    const uri = document.uri.toString();
    const targets = await client.sendRequest(targetsRequest, { uri });
    if (targets.length === 0) {
      void window.showInformationMessage(
        l10n.t('This file has nothing to probe: neither a model class nor a training loop.'),
      );
      return;
    }
    const items = targets.map((each) => ({ ...itemOf(each, document), target: each.target }));
    const placeHolder = l10n.t('A model class, or the script with its training loop');
    const chosen = await window.showQuickPick(items, { title: l10n.t('Run Probe on'), placeHolder });
    if (chosen) {
      await this.run(uri, chosen.target);
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
        this.#panel.update({ title: l10n.t('Probe: {0}', report?.target ?? ''), html, places });
      }
      await commands.executeCommand('setContext', 'gradsense.hasProbeReport', true);
    }
    const buttons = hasReport ? [l10n.t('Show report')] : [];
    if ((await showVerdict(result, buttons)) !== undefined) {
      await commands.executeCommand('gradsense.showProbeReport');
    }
  }
}

function showVerdict(result: ProbeResult, buttons: string[]): Thenable<string | undefined> {
  if (result.error !== null) {
    return window.showErrorMessage(withoutLinks(result.error), ...buttons);
  }
  return result.ok
    ? window.showInformationMessage(result.summary, ...buttons)
    : window.showWarningMessage(result.summary, ...buttons);
}

/** The program that the user looks at, and where; in a notebook whose cells nobody edits, the cell that is chosen. */
function programInFront(): { document: TextDocument; position: Position } | undefined {
  const editor = window.activeTextEditor;
  const notebook = window.activeNotebookEditor;
  const found = editor
    ? { document: editor.document, position: editor.selection.active }
    : notebook && {
        document: notebook.notebook.cellAt(notebook.selection.start).document,
        position: new Position(0, 0),
      };
  return found?.document.languageId === 'python' ? found : undefined;
}

function modelAtCursor(): Pick<ProbeParams, 'uri' | 'target' | 'position'> | undefined {
  const front = programInFront();
  if (!front) {
    return undefined;
  }
  const { line, character } = front.position;
  return { uri: front.document.uri.toString(), target: null, position: { line, character } };
}

function requestWithProgress(client: LanguageClient, params: ProbeParams): Promise<ProbeResult> {
  const title =
    params.target === script
      ? l10n.t('Probing the script')
      : params.target === null
        ? l10n.t('Probing the model at the cursor')
        : l10n.t('Probing {0}', params.target);
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

function itemOf({ target, kind, line, result }: ProbeTarget, document: TextDocument): QuickPickItem {
  const isScript = kind === 'script';
  const where = isScript ? l10n.t('training loop, line {0}', line + 1) : l10n.t('line {0}', line + 1);
  return {
    label: isScript ? `$(play) ${path.basename(document.fileName)}` : `$(symbol-class) ${target}`,
    description: where,
    ...(result === null ? {} : { detail: result }),
  };
}

function tellThatNoFileIsOpen(): void {
  void window.showWarningMessage(
    l10n.t('No Python file is open. Put the cursor into a model class, then run the probe.'),
  );
}

function isCancellation(error: unknown): boolean {
  return (
    error instanceof ResponseError &&
    (error.code === LSPErrorCodes.RequestCancelled || error.code === LSPErrorCodes.ServerCancelled)
  );
}

async function askForTrust(): Promise<void> {
  const manage = l10n.t('Manage Workspace Trust');
  const message = l10n.t(
    'The probe runs your code, and this workspace is in Restricted Mode. Trust the workspace first.',
  );
  if ((await window.showWarningMessage(message, manage)) === manage) {
    await commands.executeCommand('workbench.trust.manage');
  }
}
