// What the client and the GradSense server say to each other beyond LSP itself.
import {
  type Location,
  NotificationType,
  type Position,
  type ProgressToken,
  RequestType,
} from 'vscode-languageclient/node';

/** Sent once, with `initialize`. The server runs nothing of the user's unless `trusted`. */
export interface InitializationOptions {
  trusted: boolean;
  /** The interpreter that the probe runs the model with; null: the server looks for one. */
  interpreter: string | null;
  /** The device that the probe runs on; null: the project's configuration says. */
  probeDevice: string | null;
  /** Lenses and actions name the commands of this extension, not the server's own. */
  clientCommands: true;
}

/** The user has trusted the workspace while the server was running. */
export const trustNotification = new NotificationType<{ trusted: true }>('gradsense/trust');

export interface ProbeParams {
  uri: string;
  /** Qualified name of the model class; null: the class around `position`. */
  target: string | null;
  position: Position | null;
  /** Whether the answer is to have the report as a page, too. */
  page: true;
  workDoneToken: ProgressToken;
}

export interface ProbeResult {
  /** Whether every parameter of the model learns. */
  ok: boolean;
  /** The verdict in one sentence. */
  summary: string;
  /** The report as the terminal shows it. */
  text: string;
  report: { target: string } | null;
  /** The report as a document for a webview; absent when there is no report. */
  html?: string;
  /** What the document's `data-place` numbers mean. */
  places?: Location[];
  /** The class that was probed, or the script: what to ask for to probe it again. */
  target?: string;
  /** Why there is no verdict, with the next step; null if there is one. */
  error: string | null;
}

export const probeRequest = new RequestType<ProbeParams, ProbeResult, void>('gradsense/probe');

/** Where a place of the last document is now that the text has been edited. */
export const placeRequest = new RequestType<{ place: number }, Location | null, void>('gradsense/probePlace');

export const explainRequest = new RequestType<{ rule: string }, { markdown: string }, void>(
  'gradsense/explain',
);
