// What users write, shown in places that would make more of it than text.

/** Without links: notifications and the language status make `[words](address)` one, to commands, too. */
export function withoutLinks(text: string): string {
  return text.replaceAll('](', '] (');
}
