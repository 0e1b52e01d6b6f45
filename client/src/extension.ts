import { commands, type ExtensionContext, Uri, ViewColumn, window, workspace } from 'vscode';
import { copyDebugInformation } from './debugInformation';
import { Interpreters } from './interpreter';
import { InterpreterView } from './interpreterView';
import { Log } from './log';
import { Probe } from './probe';
import { RulePages, rulePageScheme } from './rulePages';
import { Session } from './session';
import { ServerStatus } from './status';

let session: Session | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const log = new Log();
  const status = new ServerStatus();
  const interpreters = new Interpreters(log);
  const running = new Session(context, log, status, interpreters);
  const probe = new Probe(running);
  const rulePages = new RulePages(running);
  session = running;
  context.subscriptions.push(
    log,
    status,
    interpreters,
    running,
    new InterpreterView(running, interpreters),
    probe,
    workspace.registerTextDocumentContentProvider(rulePageScheme, rulePages),
    commands.registerCommand('gradsense.runProbe', (uri: unknown, target: unknown) => probe.run(uri, target)),
    commands.registerCommand('gradsense.pickProbe', () => probe.pick()),
    commands.registerCommand('gradsense.showProbeReport', () => probe.showReport()),
    commands.registerCommand('gradsense.showProbeText', () => probe.showText()),
    commands.registerCommand('gradsense.explainRule', (rule?: string) => rulePages.show(rule)),
    commands.registerCommand('gradsense.restart', () => running.restart()),
    commands.registerCommand('gradsense.showLogs', () => log.show()),
    commands.registerCommand('gradsense.copyDebugInformation', () =>
      copyDebugInformation(context, running, interpreters, log),
    ),
    commands.registerCommand('gradsense.openWalkthrough', () => openWalkthrough(context)),
    commands.registerCommand('gradsense.openExample', () => openExample(context)),
    interpreters.onDidChange(() => running.interpretersChanged()),
    workspace.onDidGrantWorkspaceTrust(() => running.trustGranted()),
    workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration('gradsense.server')) {
        await running.refresh();
      }
      if (
        change.affectsConfiguration('gradsense.probe') ||
        change.affectsConfiguration('gradsense.workspaceDiagnostics')
      ) {
        await running.restart();
      }
    }),
  );
  // Not waited for: other extensions may take seconds to answer, and findings need no interpreter.
  void interpreters.refresh();
  await running.restart();
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}

async function openWalkthrough(context: ExtensionContext): Promise<void> {
  await commands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#start`);
}

/** A program with a mistake, as a new document: nothing is written to the user's files. */
async function openExample(context: ExtensionContext): Promise<void> {
  const example = Uri.joinPath(context.extensionUri, 'examples', 'dual_network.py');
  const content = new TextDecoder().decode(await workspace.fs.readFile(example));
  const document = await workspace.openTextDocument({ language: 'python', content });
  await window.showTextDocument(document, ViewColumn.Beside);
}
