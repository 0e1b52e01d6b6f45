// Prints the capabilities that vscode-languageclient, as installed, declares: `node record_vscode.cjs > FILE.json`.
// They don't depend on what VS Code's own API returns, so every part of that is an empty stand-in here.
const Module = require('node:module');

const anything = () =>
  new Proxy(function () {}, {
    get(target, name) {
      if (name === Symbol.toPrimitive) return () => 0;
      if (name === 'then') return undefined;
      if (!(name in target)) target[name] = anything();
      return target[name];
    },
    construct: anything,
    apply: anything,
  });

// The client asks for a version, and declares the same in each: the oldest that the extension runs in.
const version = require('../../../package.json').engines.vscode.replace('^', '');
const vscode = Object.assign(anything(), { version, env: { appName: 'Visual Studio Code', language: 'en' } });
const load = Module._load;
Module._load = function (request, ...rest) {
  return request === 'vscode' ? vscode : load.call(this, request, ...rest);
};
const { LanguageClient } = require('vscode-languageclient/node');

const client = new LanguageClient('gradsense', 'GradSense', { command: 'none' }, { documentSelector: ['python'] });
const profile = { capabilities: client.computeClientCapabilities() };
process.stdout.write(`${JSON.stringify(profile, null, 1)}\n`);
process.exit(0);
