// Two folders in one window, each with a configuration and an interpreter of its own.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const stuck = (name: string) => workbench.notification(`${name}: 4 of 6 parameters will not learn`);

  await step('each folder has the rules of its own configuration', async () => {
    await workbench.foldersOpened();
    await workbench.openFile('strict.py');
    await workbench.squiggles.first().waitFor();
    await workbench.openFile('lenient.py');
    await workbench.line('class Lenient').first().waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });

  await step('trusted, each folder has an interpreter of its own', async () => {
    await workbench.trustFolder();
    await workbench.pinLanguageStatus('Probe');
    await workbench.pinned('lenient/bin/python').waitFor();
    await workbench.openFile('strict.py');
    await workbench.pinned('strict/bin/python').waitFor();
  });

  await step('a probe runs with the interpreter of its folder', async () => {
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await stuck('Strict').waitFor();
    await workbench.clearNotifications();
    await workbench.openFile('lenient.py');
    await workbench.line('class Lenient').first().waitFor();
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await stuck('Lenient').waitFor();
  });

  await step('a folder that is closed takes its findings along', async () => {
    await workbench.openFile('strict.py');
    await workbench.squiggles.first().waitFor();
    await page.getByRole('treeitem', { name: 'strict', exact: true }).click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Remove Folder from Workspace' }).hover();
    // An old one takes no click that comes right after its menu.
    await page.keyboard.press('Enter');
    await page.getByRole('treeitem', { name: 'strict.py' }).waitFor({ state: 'detached' });
  });
});
