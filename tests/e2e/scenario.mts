// Runs a scenario step by step: `node NAME.mts ADDRESS SCREENSHOTS`. The first step that fails ends it.
import { Workbench } from './workbench.mts';

type Step = (what: string, act: () => Promise<void>) => Promise<void>;

export async function scenario(
  play: (workbench: Workbench, step: Step) => Promise<void>,
  options: { locale?: string } = {},
): Promise<void> {
  const [address, screenshots] = process.argv.slice(2);
  if (!address || !screenshots) {
    throw new Error('Usage: node SCENARIO.mts ADDRESS SCREENSHOTS');
  }
  const workbench = await Workbench.open(address, screenshots, options.locale);
  const step: Step = async (what, act) => {
    try {
      await act();
    } catch (error) {
      await workbench.screenshot('failure');
      process.stdout.write(`The console's last lines:\n${workbench.console.join('\n')}\n`);
      process.stdout.write(`The editors:\n${await workbench.editorText()}\n`);
      throw new Error(`${what}: failed; failure.png shows the workbench`, { cause: error });
    }
    process.stdout.write(`${what}: ok\n`);
  };
  try {
    await play(workbench, step);
  } finally {
    await workbench.close();
  }
}
