const vscode = require('vscode');

exports.activate = (context) => {
  const changed = new vscode.EventEmitter();
  let environment = { displayName: 'first', execInfo: { run: { executable: process.env.STAND_IN_PYTHON } } };
  const chooseOther = () => {
    environment = { displayName: 'other', execInfo: { run: { executable: '/nowhere/other/python' } } };
    changed.fire({});
  };
  context.subscriptions.push(vscode.commands.registerCommand('standIn.chooseOther', chooseOther));
  return {
    getEnvironment: async () => ({ displayName: environment.displayName }),
    resolveEnvironment: async () => environment,
    onDidChangeEnvironment: changed.event,
  };
};
