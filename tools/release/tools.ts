import { spawnSync } from 'node:child_process'
import type { Form } from './publish.ts'

/** What makes each form, and the package of Debian that has it. */
const TOOLS: Readonly<Record<Form, Readonly<Record<string, string>>>> = {
  deb: { 'dpkg-deb': 'dpkg' },
  rpm: { rpmbuild: 'rpm' },
  image: { 'apt-get': 'apt', 'dpkg-deb': 'dpkg' }
}

/** Throws, with what to do, if a tool is missing for a form that is not in `without`. */
export function requireTools(without: readonly Form[]): void {
  const missing = Object.entries(TOOLS).flatMap(([form, tools]) =>
    without.includes(form as Form)
      ? []
      : Object.entries(tools)
          .filter(([tool]) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error !== undefined)
          .map(([tool, of]) => ({ form, tool, of }))
  )
  if (missing.length === 0) return
  const words = missing.map(({ form, tool }) => `${tool} for ${form}`).join(', ')
  const forms = [...new Set(missing.map(({ form }) => form))].join(',')
  const packages = [...new Set(missing.map(({ of }) => of))].join(' ')
  throw new Error(`missing: ${words}; apt-get install ${packages}, or make a release without: --without ${forms}`)
}
