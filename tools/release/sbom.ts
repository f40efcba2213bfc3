import { hash } from 'node:crypto'
import { run } from './run.ts'

interface Bom {
  serialNumber: string
  metadata: { timestamp: string; component: Record<string, unknown> }
  components: Record<string, unknown>[]
}

export interface SbomOptions {
  readonly root: string
  readonly version: string
  /** The version of Node in the executable. */
  readonly nodeVersion: string
  readonly epochSeconds: number
}

/** The software bill of materials, CycloneDX in JSON: the packages of the lock file that are not for development, and Node. */
export function sbom({ root, version, nodeVersion, epochSeconds }: SbomOptions): string {
  const args = [
    'sbom',
    '--omit',
    'dev',
    '--sbom-format',
    'cyclonedx',
    '--sbom-type',
    'application',
    '--package-lock-only'
  ]
  const bom = JSON.parse(run('npm', args, { cwd: root })) as Bom
  // npm takes the name from the directory, and makes up a number and a time: two builds would differ.
  bom.metadata.component['name'] = 'warren'
  bom.metadata.component['version'] = version
  bom.metadata.timestamp = new Date(epochSeconds * 1_000).toISOString()
  bom.components.push({
    'bom-ref': `node@${nodeVersion}`,
    type: 'platform',
    name: 'node',
    version: nodeVersion,
    licenses: [{ license: { id: 'MIT' } }],
    purl: `pkg:generic/node@${nodeVersion}`
  })
  bom.serialNumber = ''
  const digest = hash('sha256', JSON.stringify(bom))
  bom.serialNumber = `urn:uuid:${uuid(digest)}`
  return `${JSON.stringify(bom, undefined, 2)}\n`
}

// Version 8 (RFC 9562): made from what it names.
function uuid(hex: string): string {
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
