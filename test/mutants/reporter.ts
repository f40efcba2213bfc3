import type { TestEvent } from 'node:test/reporters'

/** The outcome of one test, for the runner. */
export interface TestResult {
  readonly passed: boolean
  readonly name: string
  /** The kind of its failure, in the words of node:test; empty if it passed. */
  readonly why: string
}

/** One line of JSON for each test, with the tests of a suite before the suite. */
// biome-ignore lint/style/noDefaultExport: node --test-reporter takes the default export.
export default async function* reporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void, undefined> {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const why = type === 'test:fail' ? failureTypeOf(data.details.error) : ''
    const result: TestResult = { passed: type === 'test:pass', name: data.name, why }
    yield `${JSON.stringify(result)}\n`
  }
}

function failureTypeOf(err: Error): string {
  return 'failureType' in err ? String(err.failureType) : 'unknown'
}
