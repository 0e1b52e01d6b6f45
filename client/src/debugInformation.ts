// Copies what somebody who looks into a problem has to know.
import * as os from 'node:os';
import { type ExtensionContext, env, extensions, l10n, version, window, workspace } from 'vscode';
import type { Interpreters } from './interpreter';
import type { Log } from './log';
import { type Facts, problemReport } from './problemReport';
import { environmentsExtensionId, pythonExtensionId } from './pythonExtensions';
import type { Session } from './session';

export async function copyDebugInformation(
  context: ExtensionContext,
  session: Session,
  interpreters: Interpreters,
  log: Log,
): Promise<void> {
  const server = session.server;
  const facts: Facts = {
    versions: versions(context),
    place: `${env.remoteName ?? 'local'}, ${process.platform} ${process.arch}, ${workspace.isTrusted ? 'trusted' : 'Restricted Mode'}`,
    server: server
      ? `${server.version}, ${server.reason}: ${[server.command, ...server.args].join(' ')}`
      : 'not running',
    interpreters: await interpretersByFolder(session, interpreters),
    settings: changedSettings(context),
    log: log.recent,
  };
  await env.clipboard.writeText(problemReport(facts, os.homedir()));
  void window.showInformationMessage(
    l10n.t('Debug information is in the clipboard. Look through it before you post it.'),
  );
}

function versions(context: ExtensionContext): Record<string, string> {
  const found: Record<string, string> = { [env.appName]: version };
  for (const id of [context.extension.id, pythonExtensionId, environmentsExtensionId]) {
    const extension = extensions.getExtension(id);
    found[id] = extension ? String(extension.packageJSON.version) : 'not installed';
  }
  return found;
}

/** The first folder's name says little and may be private: folders are numbered. */
async function interpretersByFolder(
  session: Session,
  interpreters: Interpreters,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const folders = (workspace.workspaceFolders ?? []).map(({ uri }) => uri);
  for (const [index, folder] of folders.entries()) {
    const chosen = interpreters.of(folder);
    const choice = chosen ? `${chosen.path} (${chosen.reason})` : 'none chosen';
    const taken = await session.interpreterOf(folder);
    const result = taken
      ? `${taken.interpreter ?? 'none'} (${taken.tried.join(', ') || taken.why})`
      : 'unknown';
    found[`Folder ${index + 1}`] = `${choice}; the probe takes ${result}`;
  }
  return found;
}

/** What is set anywhere, and where. */
function changedSettings(context: ExtensionContext): Record<string, unknown> {
  const properties: object = context.extension.packageJSON.contributes.configuration.properties;
  const changed: Record<string, unknown> = {};
  for (const name of Object.keys(properties)) {
    const { globalValue, workspaceValue, workspaceFolderValue } =
      workspace.getConfiguration().inspect(name) ?? {};
    const values = { user: globalValue, workspace: workspaceValue, folder: workspaceFolderValue };
    const set = Object.entries(values).filter(([, value]) => value !== undefined);
    if (set.length > 0) {
      changed[name] = Object.fromEntries(set);
    }
  }
  return changed;
}
