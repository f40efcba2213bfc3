import { parsePattern } from '../../identity/index.ts'
import { choiceStep } from './choice.ts'
import { instanceSteps } from './instance.ts'
import { missingSteps } from './missing.ts'
import { findSource } from './source.ts'
import {
  type ExplainDeps,
  type ExplainRequest,
  type ExplainStep,
  type Explanation,
  MAX_SHOWN,
  no,
  verdictOf
} from './types.ts'

/**
 * Explains, step by step, why a connection works or does not, as this host sees it: both ends, the rule, the path and the certificates,
 * with what to do about each fault.
 *
 * Uses the same functions that decide about real connections, so that it cannot give another answer. Throws
 * INVALID_ARGUMENT for a malformed source or destination.
 */
export async function explain(deps: ExplainDeps, request: ExplainRequest, signal: AbortSignal): Promise<Explanation> {
  const { destination: text } = request
  const pattern = parsePattern(text)
  const { address: source, steps: sourceSteps } = await findSource(deps, request)
  const steps: ExplainStep[] = [...excludedStep(deps), ...sourceSteps]
  const serving = deps.known(pattern).filter(({ protocols }) => protocols.length > 0)
  const before = verdictOf(steps)
  if (serving.length === 0) {
    steps.push(...(await missingSteps(deps, text, pattern, signal)))
    return { works: false, undecided: false, steps }
  }
  const verdicts: Array<ReturnType<typeof verdictOf>> = []
  for (const destination of serving.slice(0, MAX_SHOWN)) {
    const instance = await instanceSteps(deps, request, source, destination, signal)
    steps.push(...instance)
    verdicts.push(verdictOf(instance))
  }
  // How others share out their connections, they know.
  if (source?.machine === deps.machine) steps.push(...choiceStep(deps, source, serving, request.protocol))
  const works = before === 'works' && verdicts.includes('works')
  const undecided = !works && before !== 'fails' && verdicts.some(verdict => verdict !== 'fails')
  return { works, undecided, steps }
}

function excludedStep(deps: ExplainDeps): ExplainStep[] {
  const found = deps.excluded()
  if (found === undefined) return []
  const next = 'let it join anew, with a new token and an empty state directory: docs/runbook.md'
  return [no('host', found.text, next)]
}
