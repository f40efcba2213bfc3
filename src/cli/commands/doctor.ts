import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import type { Finding } from '../doctor/index.ts'
import { Exit } from '../exit.ts'
import { printable } from '../output/printable.ts'
import { STDOUT } from '../output/stdout.ts'

interface DoctorOptions {
  readonly stateDir?: string
  readonly bundle?: string
}

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('examine this host and its agent, and say what to do')
    .option('--state-dir <dir>', 'state directory of the agent (default: as `warren up`)')
    .option('--bundle <file>', 'also write what somebody who helps has to know: names, addresses and rules, no secrets')
    .addHelpText('after', '\nExit codes: 0 nothing fails, 1 something fails. It works without an agent as well.')
    .action(async (options: DoctorOptions, command: Command) => {
      const { agent, runtimeDir, show, say } = contextOf(command)
      if (options.bundle === STDOUT) {
        throw new WarrenError(ErrorCode.InvalidOption, 'standard output has the findings, and takes no bundle', {
          hint: 'Give the path of a file.'
        })
      }
      const [{ findingsOf, gather, writeBundle }, { resolveConfig }] = await Promise.all([
        import('../doctor/index.ts'),
        import('../../agent/index.ts')
      ])
      const { stateDir, runtimeDir: usual } = resolveConfig({})
      const facts = await gather({
        agent,
        stateDir: options.stateDir ?? stateDir,
        runtimeDir: runtimeDir ?? usual
      })
      const findings = findingsOf(facts)
      if (options.bundle !== undefined) {
        const bytes = await writeBundle({ file: options.bundle, agent, facts, findings })
        say(`${options.bundle}: ${bytes} bytes; look through it before you pass it on (gunzip -c)`)
      }
      show({ findings }, () => report(findings))
      if (findings.some(({ verdict }) => verdict === 'fail')) process.exitCode = Exit.Failed
    })
}

const SIGNS = { ok: 'ok', warn: 'WARN', fail: 'FAIL', unknown: '?' } as const

function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, verdict, text, cure }) => {
    const line = `${SIGNS[verdict].padEnd(4)}  ${check.padEnd(width)}  ${printable(text)}`
    return cure === '' ? [line] : [line, `${' '.repeat(width + 8)}${printable(cure)}`]
  })
  return lines.join('\n')
}
