// What the user may ask and choose: which interpreter and why, what to probe, which rule, what to tell in an issue.
import assert from 'node:assert/strict';
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;

  await step('the language status tells which server runs and which interpreter a probe uses', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.squiggles.first().waitFor();
    await workbench.pinLanguageStatus('GradSense 0');
    await workbench.pinned('set in gradsense.server.path').waitFor();
    await workbench.pinLanguageStatus('Probe');
    await workbench.pinned('no probe before the workspace is trusted').waitFor();
    await workbench.trustFolder();
    await workbench.pinned('set in gradsense.interpreter').waitFor();
  });

  await step('the picker offers the classes and the script, and runs what is chosen', async () => {
    await workbench.caretAtEndOf('optimizer.zero_grad()');
    await workbench.runCommand('GradSense: Run Probe on…');
    await workbench.choice('training loop, line').waitFor();
    await workbench.choice('DualNetwork').click();
    await workbench.notification('DualNetwork: 4 of 6 parameters will not learn').waitFor();
    await workbench.runCommand('GradSense: Run Probe on…');
    await workbench.choice('4 of 6 parameters will not learn').waitFor();
    await page.keyboard.press('Escape');
  });

  await step('debug information has versions, choices and settings, and nothing of the file', async () => {
    await workbench.runCommand('GradSense: Copy Debug Information');
    await workbench.notification('Debug information is in the clipboard').waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(copied, /^- gradsense\.gradsense: \d/m);
    assert.match(copied, /^- Server: \d.*set in gradsense\.server\.path/m);
    assert.match(copied, /^- Folder 1: .*set in gradsense\.interpreter.*the probe takes /m);
    assert.match(copied, /^gradsense\.interpreter: /m);
    assert.match(copied, /\[info\] Server: /);
    assert.doesNotMatch(copied, /critic_layer/);
    await workbench.clearNotifications();
  });

  await step('a rule is found by a word of its name', async () => {
    await workbench.runCommand('GradSense: Explain a Rule');
    await workbench.choice('GS101').waitFor();
    await page.keyboard.type('optimizer-misses');
    await workbench.choice('GS301').click();
    await workbench.webview.getByText('optimizer-misses-parameters').first().waitFor();
  });
});
