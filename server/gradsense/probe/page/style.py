"""How the page looks, and the panel's few lines of script.

Colours are the editor's where it gives them (`--vscode-*`), else light or dark as the reader's system is.
With forced colours only the system's are used: shapes and words say everything that colours do.
"""

STYLE = """
:root {
  --l-bg: #ffffff; --l-fg: #1f2328; --l-dim: #59636e; --l-line: #d1d9e0;
  --l-bar: #0969da; --l-fine: #1a7f37; --l-stuck: #cf222e; --l-doubt: #9a6700; --l-link: #0969da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --l-bg: #0d1117; --l-fg: #e6edf3; --l-dim: #9198a1; --l-line: #3d444d;
    --l-bar: #4493f8; --l-fine: #3fb950; --l-stuck: #f85149; --l-doubt: #d29922; --l-link: #4493f8;
  }
}
@media (prefers-contrast: more) {
  :root { --l-dim: var(--l-fg); --l-line: var(--l-fg); }
}
:root {
  --bg: var(--vscode-editor-background, var(--l-bg));
  --fg: var(--vscode-editor-foreground, var(--l-fg));
  --dim: var(--vscode-descriptionForeground, var(--l-dim));
  --line: var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-editorWidget-border, var(--l-line))));
  --track: color-mix(in srgb, var(--fg) 8%, var(--bg));
  --bar: var(--vscode-charts-blue, var(--l-bar));
  --fine: var(--vscode-charts-green, var(--l-fine));
  --stuck: var(--vscode-editorError-foreground, var(--l-stuck));
  --doubt: var(--vscode-editorWarning-foreground, var(--l-doubt));
  --link: var(--vscode-textLink-foreground, var(--l-link));
  --focus: var(--vscode-focusBorder, var(--l-link));
  --mono: var(--vscode-editor-font-family, ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace);
  --cell: 13rem; --state: clamp(12rem, 30vw, 25rem);
}
* { box-sizing: border-box; }
html { font-size: var(--vscode-font-size, 15px); }
body {
  margin: 0 auto; padding: 1.25rem 1.5rem 3rem; max-width: 76rem; background: var(--bg); color: var(--fg);
  font-family: var(--vscode-font-family, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif); line-height: 1.5;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .6rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; font-weight: 600; }
section, .output { margin-top: 1.75rem; }
ul { list-style: none; margin: 0; padding: 0; }
p { margin: .4rem 0; }
code, pre, .title, .module, .number, .was, .place, th[scope=row] {
  font-family: var(--mono); font-size: .92em; color: inherit; background: none; padding: 0;
}
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.where { margin: 0 0 .15rem; }
.place { color: var(--dim); overflow-wrap: anywhere; }
.link {
  border: 0; background: none; padding: 0; margin: 0; text-align: left; cursor: pointer; color: var(--link);
  font-family: var(--mono); font-size: .92em; line-height: inherit; overflow-wrap: anywhere;
}
.again {
  font: inherit; color: var(--link); background: none; border: 1px solid var(--line); border-radius: 4px;
  padding: .15rem .6rem; margin: 0 0 .9rem; cursor: pointer;
}
.title.link { color: inherit; }
.link:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 2px; }
.mark { flex: none; display: inline-block; width: 1.25em; font-weight: 700; text-align: center; }
.stuck > .mark, .stuck .state .mark, .tally.stuck { color: var(--stuck); }
.doubt > .mark, .doubt .state .mark { color: var(--doubt); }
.fine > .mark, .fine .state .mark { color: var(--fine); }
.still > .mark, .still .state .mark { color: var(--dim); }

.verdict {
  display: flex; gap: .5rem; padding: .65rem .85rem; margin: 0 0 .4rem; font-size: 1.08rem; font-weight: 600;
  border: 1px solid var(--line); border-left-width: 5px; border-radius: 4px; background: var(--track);
  overflow-wrap: anywhere;
}
.verdict.stuck { border-left-color: var(--stuck); }
.verdict.doubt { border-left-color: var(--doubt); }
.verdict.fine { border-left-color: var(--fine); }
.compared { font-weight: 600; }
dl { display: grid; gap: .2rem .5rem; margin: .9rem 0 0; }
dl > div { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); }
dt { color: var(--dim); grid-column: 1; }
dd { margin: 0; grid-column: 2; overflow-wrap: anywhere; }

.problem { display: flex; gap: .5rem; margin-bottom: .6rem; overflow-wrap: anywhere; }
.problem > div { min-width: 0; }
.related { color: var(--dim); font-size: .95em; }
.notes li, .legend { color: var(--dim); }
.legend { font-size: .92em; margin-top: .7rem; }

.row {
  display: grid; grid-template-columns: minmax(0, 1fr) var(--cell) var(--cell) var(--state);
  gap: 0 1.25rem; align-items: start;
}
.head { align-items: end; color: var(--dim); font-size: .88em; padding: 0 0 .35rem .8rem; }
.head { border-bottom: 1px solid var(--line); }
.head .measure > :first-child { grid-column: 1 / -1; }
.axis { display: flex; justify-content: space-between; font-size: .9em; }
.axis sup { line-height: 0; }
.tree ul { padding-left: 1rem; }
.layer { border-left: 3px solid var(--line); padding: .35rem 0 .3rem .65rem; border-bottom: 1px solid var(--track); }
.layer.fine { border-left-color: var(--fine); }
.layer.stuck { border-left: 3px dashed var(--stuck); }
.layer.doubt { border-left: 3px dotted var(--doubt); }
.group > details > summary { padding: .4rem 0; cursor: pointer; }
.module, .title { font-weight: 600; overflow-wrap: anywhere; }
.tally { color: var(--dim); font-size: .92em; }
.measure { display: grid; grid-template-columns: minmax(0, 1fr) 5rem; gap: 0 .6rem; align-items: center; }
.bar { display: block; width: 100%; height: .8rem; overflow: visible; }
.number { font-size: .9em; line-height: 1.65; font-variant-numeric: tabular-nums; white-space: nowrap; }
.was { grid-column: 2; font-size: .82em; color: var(--dim); white-space: nowrap; }
.track { fill: var(--track); }
.value { fill: var(--bar); }
.stuck .value { fill: var(--stuck); }
.doubt .value { fill: var(--doubt); }
.decade { stroke: var(--line); stroke-width: 1; opacity: .6; }
.gap { stroke: var(--dim); stroke-width: 2; stroke-dasharray: 5 5; }
.stuck .gap { stroke: var(--stuck); }
.before { stroke: var(--fg); stroke-width: 2; }
.state { display: flex; gap: .35rem; align-items: baseline; min-width: 0; }
.told { min-width: 0; overflow-wrap: anywhere; }
.change { display: block; color: var(--dim); }
.learns-now .words { color: var(--fine); font-weight: 600; }
.no-longer-learns .words { color: var(--stuck); font-weight: 600; }
del { color: var(--dim); }
.tensors { color: var(--dim); font-size: .9em; }
.tensors > summary { cursor: pointer; width: fit-content; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; padding: .3rem 0; }
table { border-collapse: collapse; color: var(--fg); }
th, td { text-align: left; padding: .15rem 1.1rem .15rem 0; font-weight: 400; white-space: nowrap; }
thead th { color: var(--dim); border-bottom: 1px solid var(--line); }
summary h2 { display: inline; }
.output > summary { cursor: pointer; }
pre {
  margin: .5rem 0 0; padding: .7rem .9rem; max-height: 24rem; overflow: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; border: 1px solid var(--line); border-radius: 4px; background: var(--track);
}

@media (max-width: 54rem) {
  body { padding: 1rem 1rem 2rem; }
  .row { display: flex; flex-wrap: wrap; gap: .1rem 1rem; align-items: start; }
  .row > .name { flex: 0 1 auto; max-width: 45%; }
  .row > .state { flex: 1 1 50%; order: 1; }
  .row > .measure { flex: 1 1 calc(50% - .5rem); order: 2; }
  .head > .name, .head > .state { display: none; }
  .tree ul { padding-left: .6rem; }
  dl > div { grid-template-columns: 5.5rem minmax(0, 1fr); }
}
@media (forced-colors: active) {
  .track { fill: Canvas; stroke: CanvasText; }
  .value, .stuck .value, .doubt .value { fill: CanvasText; }
  .decade { stroke: GrayText; }
  .gap, .stuck .gap { stroke: CanvasText; }
  .before { stroke: Highlight; }
}
body.vscode-high-contrast .track, body.vscode-high-contrast-light .track { stroke: var(--line); }
body.vscode-high-contrast .layer, body.vscode-high-contrast-light .layer { border-bottom-color: var(--line); }
@media print {
  body { max-width: none; }
}
"""

JUMPS = """
const editor = acquireVsCodeApi();
document.addEventListener('click', (event) => {
  const link = event.target.closest('[data-place]');
  if (link) {
    editor.postMessage({ place: Number(link.dataset.place) });
  } else if (event.target.closest('[data-again]')) {
    editor.postMessage({ again: true });
  }
});
"""
