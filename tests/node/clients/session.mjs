// What each client does with a server: the same steps for every SDK, so that a run through Lockgate
// can be compared with a direct one. Prints one line of JSON.

/** Runs the steps. `ask` is the tool that makes the server ask the client's user something. */
export async function exercise({ client, call, ask, version }) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  const progress = [];
  const text = (result) => result.content.map((block) => block.text ?? block.type).join();
  const simple = text(await call('test_simple_text', {}));
  const mixed = text(await call('test_multiple_content_types', {}));
  await call('test_tool_with_progress', {}, (update) => progress.push(update.progress));
  const asked = text(await call(ask, { message: 'Who are you?' }));
  const resource = await client.readResource({ uri: 'test://template/a b/data' });
  const prompt = await client.getPrompt({
    name: 'test_prompt_with_arguments',
    arguments: { arg1: 'é', arg2: '="' },
  });
  const unknown = await call('no_such_tool', {}).then(text, (error) => error.code);
  return {
    version: version(),
    tools,
    simple,
    mixed,
    progress,
    asked,
    resource: resource.contents[0].text,
    prompt: prompt.messages[0].content.text,
    unknown,
  };
}

/** The answer of the client's user to every form. */
export const answer = { action: 'accept', content: { name: 'Ada', username: 'ada', email: 'a@b.c' } };

/** The target given on the command line: `{url}` or `{command, args}`, and a mode. */
export const target = JSON.parse(process.argv[2]);

/** Prints the report and ends, whatever the SDK still holds open. */
export async function report(work) {
  try {
    console.log(JSON.stringify(await work));
    process.exit(0);
  } catch (error) {
    console.error(error?.stack ?? error);
    if (error?.cause) console.error('cause:', error.cause);
    process.exit(1);
  }
}
