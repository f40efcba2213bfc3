import { execFileSync } from 'node:child_process'
import { installAioquic } from './support/aioquic.ts'
import { buildFerretdb } from './support/ferretdb.ts'
import { PACKAGES } from './support/packages.ts'

// Only what is missing, so that a machine that has it all needs neither root nor a network.
const missing = PACKAGES.filter(name => !isInstalled(name))
if (missing.length === 0) {
  console.log(`programs: all installed: ${PACKAGES.join(' ')}`)
} else if (process.getuid?.() !== 0) {
  console.log(`programs: not root, so not installed, and their tests are skipped: ${missing.join(' ')}`)
} else {
  console.log(`programs: apt-get install ${missing.join(' ')}`)
  // None of the servers that come with them may start here.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'inherit' })
  execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    env,
    stdio: ['ignore', 'ignore', 'inherit']
  })
}

console.log(`programs: FerretDB: ${buildFerretdb() ?? 'built'}`)
console.log(`programs: aioquic: ${installAioquic() ?? 'installed'}`)

function isInstalled(name: string): boolean {
  try {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query.
    const status = execFileSync('dpkg-query', ['-W', '-f=${Status}', name], { stdio: ['ignore', 'pipe', 'ignore'] })
    return status.toString().includes('ok installed')
  } catch {
    return false
  }
}
