import { commands, type ExtensionContext, window, workspace } from 'vscode';
import { onDidChangePythonEnvironment } from './interpreter';
import { Probe } from './probe';
import { RulePages, rulePageScheme } from './rulePages';
import { Session } from './session';
import { ServerStatus } from './status';

let session: Session | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const log = window.createOutputChannel('GradSense', { log: true });
  const status = new ServerStatus();
  const running = new Session(context, log, status);
  const probe = new Probe(running);
  const rulePages = new RulePages(running);
  session = running;
  context.subscriptions.push(
    log,
    status,
    probe,
    workspace.registerTextDocumentContentProvider(rulePageScheme, rulePages),
    commands.registerCommand('gradsense.runProbe', (uri: unknown, target: unknown) => probe.run(uri, target)),
    commands.registerCommand('gradsense.showProbeReport', () => probe.showReport()),
    commands.registerCommand('gradsense.showProbeText', () => probe.showText()),
    commands.registerCommand('gradsense.explainRule', (rule?: string) => rulePages.show(rule)),
    commands.registerCommand('gradsense.restart', () => running.restart()),
    commands.registerCommand('gradsense.showLogs', () => log.show()),
    workspace.onDidGrantWorkspaceTrust(async () => {
      await running.trustGranted();
      await followPythonExtension(context, running);
    }),
    workspace.onDidChangeConfiguration(async (change) => {
      if (
        change.affectsConfiguration('gradsense.server') ||
        change.affectsConfiguration('gradsense.interpreter') ||
        change.affectsConfiguration('gradsense.probe')
      ) {
        await running.refresh();
      }
      if (change.affectsConfiguration('gradsense.inlayHints')) {
        running.refreshHints();
      }
    }),
  );
  await running.restart();
  if (workspace.isTrusted) {
    await followPythonExtension(context, running);
  }
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}

/** Only in a trusted workspace: the Python extension may run the interpreters that it finds. */
async function followPythonExtension(context: ExtensionContext, running: Session): Promise<void> {
  const subscription = await onDidChangePythonEnvironment(() => running.refresh());
  if (subscription) {
    context.subscriptions.push(subscription);
  }
}
