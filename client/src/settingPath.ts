// Paths as people write them into settings.
import * as path from 'node:path';

/** The path that a setting means: relative ones count from `folder`, and `~` is the home folder. */
export function absolute(setting: string, folder: string, home: string): string {
  const expanded = setting
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the variable's name as it stands in settings.
    .replaceAll('${workspaceFolder}', folder)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the same.
    .replaceAll('${userHome}', home)
    .replace(/^~(?=$|[/\\])/, home);
  return path.resolve(folder, expanded);
}
