// Serves a VS Code whose `server-main.js` only gives the parts of a server: `node old_server.cjs server-main.js ...`.
// It takes the options of newer ones, which serve by themselves, and says as they do where it listens.
const http = require('node:http');

const [main] = process.argv.splice(2, 1);
const option = (name) => process.argv[process.argv.indexOf(name) + 1];

require(main)
  .loadCodeWithNls()
  .then(async (code) => {
    if (process.argv.includes('--install-extension')) {
      await code.spawnCli();
      return;
    }
    const workbench = await code.createServer(null);
    const server = http.createServer((request, response) => workbench.handleRequest(request, response));
    server.on('upgrade', (request, socket) => workbench.handleUpgrade(request, socket));
    server.listen(Number(option('--port')), option('--host'), () => {
      process.stdout.write(`Extension host agent listening on ${server.address().port}\n`);
    });
  });
