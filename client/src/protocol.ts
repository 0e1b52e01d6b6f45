// What the client and the GradSense server say to each other beyond LSP itself.
import {
  type Location,
  NotificationType,
  type Position,
  type ProgressToken,
  RequestType,
} from 'vscode-languageclient/node';

/** The interpreters that probes run the user's models with. */
export interface InterpreterChoice {
  /** For files outside of all `folders`; null: the server looks for one. */
  interpreter: string | null;
  folders: readonly { uri: string; interpreter: string }[];
}

/** Sent once, with `initialize`. The server runs nothing of the user's unless `trusted`. */
export interface InitializationOptions extends InterpreterChoice {
  trusted: boolean;
  /** The device that the probe runs on; null: the project's configuration says. */
  probeDevice: string | null;
  /** Which files have diagnostics: `openFilesOnly` or `workspace`. */
  workspaceDiagnostics: string;
  /** Lenses and actions name the commands of this extension, not the server's own. */
  clientCommands: true;
}

/** The user has trusted the workspace while the server was running. */
export const trustNotification = new NotificationType<{ trusted: true }>('gradsense/trust');

/** The user has chosen other interpreters while the server was running. */
export const interpretersNotification = new NotificationType<InterpreterChoice>('gradsense/interpreters');

export interface FoundInterpreter {
  /** The path; null if none can do. */
  interpreter: string | null;
  /** What it is to the user; if there is none, what is missing and what to do. */
  why: string;
  /** What was looked at, in order, each with what it has or lacks; what was taken comes last. */
  tried: readonly string[];
  /** Whether it is the choice on this side. */
  chosen: boolean;
}

/** What a probe of a file would run with; nothing is run to find that out. */
export const interpreterRequest = new RequestType<{ uri: string }, FoundInterpreter, void>(
  'gradsense/interpreter',
);

/** A rule, or with null the analysis as a whole, took long, or failed by a mistake of ours. */
export interface Trouble {
  kind: 'slow' | 'failed';
  rule: string | null;
  seconds: number;
  /** The file's name. */
  file: string;
}

export const troubleNotification = new NotificationType<Trouble>('gradsense/trouble');

/** A model class of a file, or the script with its training loop. */
export interface ProbeTarget {
  /** What to ask a probe for. */
  target: string;
  kind: 'module' | 'lightning module' | 'script';
  /** 0-based. */
  line: number;
  /** The words on the last result that still holds. */
  result: string | null;
}

export const targetsRequest = new RequestType<{ uri: string }, readonly ProbeTarget[], void>(
  'gradsense/targets',
);

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

export interface RuleSummary {
  code: string;
  name: string;
  /** What it is about, in one line. */
  summary: string;
}

export const rulesRequest = new RequestType<Record<string, never>, readonly RuleSummary[], void>(
  'gradsense/rules',
);

export const explainRequest = new RequestType<{ rule: string }, { markdown: string }, void>(
  'gradsense/explain',
);
