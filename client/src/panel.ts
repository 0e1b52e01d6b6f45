// The last report as a page beside the editor. It knows lines by number only; where they are, is known here.
import { type Disposable, l10n, Position, Range, Uri, ViewColumn, type WebviewPanel, window } from 'vscode';
import type { Location } from 'vscode-languageclient/node';
import { withoutLinks } from './plainText';

export interface Page {
  title: string;
  html: string;
  places: readonly Location[];
}

/** What the page's buttons ask for. */
export interface Actions {
  /** Where a place is by now; undefined if nobody knows. */
  placeNow(number: number): Promise<Location | undefined>;
  /** Probe the same once more. */
  again(): Promise<void>;
}

export class ReportPanel implements Disposable {
  readonly #actions: Actions;
  #panel: WebviewPanel | undefined;
  #page: Page | undefined;

  constructor(actions: Actions) {
    this.#actions = actions;
  }

  /** Whether there is a page to show. */
  get hasPage(): boolean {
    return this.#page !== undefined;
  }

  /** What to show from now on; at once, if the panel is open. */
  update(page: Page): void {
    this.#page = page;
    if (this.#panel) {
      this.#fill(this.#panel, page);
    }
  }

  show(): void {
    if (!this.#page) {
      return;
    }
    if (this.#panel) {
      this.#panel.reveal();
      return;
    }
    const panel = window.createWebviewPanel('gradsense.probe', this.#page.title, ViewColumn.Beside, {
      enableScripts: true,
      enableFindWidget: true,
      localResourceRoots: [],
    });
    panel.webview.onDidReceiveMessage((message: unknown) => this.#answer(message));
    panel.onDidDispose(() => {
      this.#panel = undefined;
    });
    this.#panel = panel;
    this.#fill(panel, this.#page);
  }

  dispose(): void {
    this.#panel?.dispose();
  }

  #fill(panel: WebviewPanel, page: Page): void {
    panel.title = page.title;
    panel.webview.html = page.html;
  }

  /** The page may ask for the places of its report and for another run, and for nothing else. */
  async #answer(message: unknown): Promise<void> {
    if (typeof message === 'object' && message !== null && 'again' in message) {
      await this.#actions.again();
      return;
    }
    const number = numberIn(message);
    const told = this.#page?.places[number];
    if (told) {
      await this.#jump((await this.#actions.placeNow(number)) ?? told);
    }
  }

  async #jump(place: Location): Promise<void> {
    const uri = Uri.parse(place.uri);
    const { start, end } = place.range;
    const selection = new Range(
      new Position(start.line, start.character),
      new Position(end.line, end.character),
    );
    try {
      await window.showTextDocument(uri, { selection, viewColumn: columnOf(uri) });
    } catch {
      const message = l10n.t("{0} can't be opened. Run the probe again.", uri.fsPath);
      void window.showWarningMessage(withoutLinks(message));
    }
  }
}

function numberIn(message: unknown): number {
  const isObject = typeof message === 'object' && message !== null;
  return isObject && 'place' in message && typeof message.place === 'number' ? message.place : -1;
}

/** Where the file is open already, so that the page stays in sight. */
function columnOf(uri: Uri): ViewColumn {
  const editor = window.visibleTextEditors.find(({ document }) => document.uri.toString() === uri.toString());
  return editor?.viewColumn ?? ViewColumn.One;
}
