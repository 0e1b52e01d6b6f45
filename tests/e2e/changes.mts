// What changes while the server runs: another interpreter, settings, a rule, and the server's own death. It is started
// afresh for the last alone.
import assert from 'node:assert/strict';
import { on } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { scenario } from './scenario.mts';

const [project = '', started = ''] = [process.env.GRADSENSE_PROJECT, process.env.GRADSENSE_STARTED];

/** The process ids of the servers that were started so far. */
async function servers(): Promise<number[]> {
  return (await readFile(started, 'utf8')).trim().split('\n').map(Number);
}

/** Waits, after `act`, until that many servers have been started. */
async function afterStart(count: number, act: () => unknown): Promise<void> {
  // One that looks from here on, as a server may be started while `act` is on its way.
  const watcher = watch(started);
  const changes = on(watcher, 'change', { signal: AbortSignal.timeout(60_000) });
  try {
    await act();
    while ((await servers()).length < count) {
      await changes.next();
    }
  } finally {
    watcher.close();
  }
}

await scenario(async (workbench, step) => {
  await step('the Python Environments extension is asked for the interpreter', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.squiggles.first().waitFor();
    await workbench.pinLanguageStatus('Probe');
    await workbench.pinned("the Python Environments extension's choice, first").waitFor();
  });

  await step('when it chooses another one, the server is told', async () => {
    await workbench.runCommand('Stand-In: Choose the Other Environment');
    await workbench.pinned("the Python Environments extension's choice, other").waitFor();
    assert.equal((await servers()).length, 1);
  });

  await step('killed, the server is started again and goes on', async () => {
    const [first] = await servers();
    assert.ok(first);
    await afterStart(2, () => process.kill(first, 'SIGKILL'));
    await workbench.selectWord('optim.Adam(', 'shared_layer');
    await workbench.page.keyboard.press('Backspace');
    await workbench.page.keyboard.press('Backspace');
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
    await workbench.page.keyboard.press('Control+z');
    await workbench.page.keyboard.press('Control+z');
    await workbench.squiggles.first().waitFor();
  });

  await step('an interpreter that is chosen now is the one that a probe uses', async () => {
    await mkdir(path.join(project, '.vscode'));
    const settings = { 'gradsense.interpreter': 'nowhere/python', 'gradsense.inlayHints.probe': false };
    await writeFile(path.join(project, '.vscode', 'settings.json'), JSON.stringify(settings));
    await workbench.pinned('set in gradsense.interpreter').waitFor();
    assert.equal((await servers()).length, 2);
  });

  await step('a rule that is switched off is silent', async () => {
    await writeFile(path.join(project, 'pyproject.toml'), '[tool.gradsense]\nignore = ["GS301"]\n');
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });

  await step('a server that is asked for by its command is a new one', async () => {
    await afterStart(3, () => workbench.runCommand('GradSense: Restart the Server'));
    await workbench.lenses.first().waitFor();
  });
});
