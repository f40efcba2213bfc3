import type { TestEvent } from 'node:test/reporters'

/**
 * A reporter that writes the path of each file with a failed test, one line for each file, for `.ci/run`, which runs these
 * once more. It writes at the end of the run: a run that was broken off names no file, and is a failure.
 */
// biome-ignore lint/style/noDefaultExport: the runner of Node takes the default export of a reporter
export default async function* failedFiles(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files = new Set<string>()
  for await (const event of events) {
    if (event.type === 'test:fail' && event.data.todo === undefined) files.add(event.data.file ?? event.data.name)
  }
  for (const file of files) yield `${file}\n`
}
