// The TypeScript SDK's version 2, which speaks both eras: mode `legacy`, `auto` or a revision.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { answer, exercise, report, target } from './session.mjs';

async function work() {
  const mode = ['legacy', 'auto'].includes(target.mode) ? target.mode : { pin: target.mode };
  const client = new Client(
    { name: 'sdk-v2', version: '1' },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
  );
  client.setRequestHandler('elicitation/create', async () => answer);
  const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, stderr: 'inherit' });
  await client.connect(transport);
  const version = () => client.getNegotiatedProtocolVersion();
  const ask =
    version() >= '2026-07-28' ? 'test_input_required_result_elicitation' : 'test_elicitation';
  const call = (name, args, onprogress) => client.callTool({ name, arguments: args }, { onprogress });
  const result = await exercise({ client, call, ask, version });
  await client.close();
  return result;
}

await report(work());
