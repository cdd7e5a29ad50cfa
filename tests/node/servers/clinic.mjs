// A stdio MCP server on the official SDK with tools worth protecting: customers, refunds, records.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const CUSTOMERS = {
  'c-1': { name: 'Ada', email: 'ada@example.org', ssn: '078-05-1120' },
  'c-2': { name: 'Grace', email: 'grace@example.org', ssn: '219-09-9999' },
};

const both = (value) => ({
  content: [{ type: 'text', text: JSON.stringify(value) }],
  structuredContent: value,
});

const server = new McpServer({ name: 'clinic', version: '1' });
server.registerTool(
  'get_customer',
  {
    description: 'Reads fields of a customer.',
    inputSchema: { customer_id: z.string(), fields: z.array(z.string()).optional() },
  },
  // It gives more than it was asked for, as many servers do.
  ({ customer_id }) => both(CUSTOMERS[customer_id] ?? {}),
);
server.registerTool(
  'refund',
  { description: 'Pays money back.', inputSchema: { customer_id: z.string(), amount: z.number().int() } },
  ({ customer_id, amount }) => both({ customer_id, amount, paid: true }),
);
server.registerTool(
  'read_record',
  { description: 'Reads a patient record.', inputSchema: { patient: z.string() } },
  ({ patient }) => both({ patient, allergies: ['penicillin'] }),
);
server.registerTool(
  'note',
  { description: 'Keeps a note.', inputSchema: { text: z.string(), tags: z.record(z.string(), z.any()).optional() } },
  () => both({ kept: true }),
);
await server.connect(new StdioServerTransport());
