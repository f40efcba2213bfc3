#!/usr/bin/env sh
':' /*
# For the shell down to "exec", which starts Node as it has to be started, and for Node from there on.

# A debugger is a port for every user of this host: no signal and no variable opens one. What NODE_OPTIONS says is kept for
# the programs that warren starts. Nor is compiled code executed from a directory that the environment names.
if [ -n "${NODE_OPTIONS-}" ]; then export WARREN_NODE_OPTIONS="$NODE_OPTIONS"; fi
unset NODE_OPTIONS NODE_COMPILE_CACHE

# Node forgets that SIGHUP was to be ignored (nohup). Where it was, the shell sets no trap, and the signal does nothing.
WARREN_HANGUP=ignored
trap 'unset WARREN_HANGUP' HUP
kill -s HUP $$
if [ -n "${WARREN_HANGUP-}" ]; then export WARREN_HANGUP; fi

# Where standard output is closed, Node opens /dev/null in its place, and whatever is written there seems to arrive.
unset WARREN_STDOUT
if ! { true 3>&1; } 2>/dev/null; then export WARREN_STDOUT=closed; fi

heap=
for argument in "$@"; do
  if [ "$argument" = up ]; then heap='--min-semi-space-size=2 --max-semi-space-size=2'; fi
done

# In a checkout its own Node, whatever the system has; also where this is a link to it.
self=$0
if [ -L "$0" ]; then self=$(readlink -f "$0" 2>/dev/null) || self=$0; fi
node=${self%/*}/../node_modules/node/bin/node
if [ ! -x "$node" ]; then
  node=node
  if ! command -v node >/dev/null 2>&1; then
    echo 'warren: needs Node 24 or later, and finds none' >&2
    echo '  In a checkout, npm ci installs the right one. The executable of a release needs none.' >&2
    exit 2
  fi
  # An old one does not know the options, and would not get as far as to be told so.
  case $(node --version 2>/dev/null) in
    v[0-9].* | v1[0-9].* | v2[0-3].*) exec node "$self" "$@" ;;
  esac
fi
exec "$node" --disable-sigusr1 $heap "$self" "$@"
*/

// Runs on any Node, so that an old one gets a sentence and not a syntax error.
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NO_DEBUGGER = '--disable-sigusr1'
const YOUNG_HEAP = ['--min-semi-space-size', '--max-semi-space-size']

// By itself the second ends a process; the first opens a debugger, where NO_DEBUGGER, which blocks it, could not be given.
for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {})
const major = Number(process.versions.node.split('.')[0])
const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
if (major < 24) useOwnNode()
await startRight()
const built = isBuilt()
if (!built && !existsSync(join(root, 'node_modules', 'commander'))) {
  refuse('the packages that this checkout needs are missing', `Run npm ci in ${root}.`)
}
cacheCompiledCode()
const { main } = await import(new URL(built ? '../dist/cli/main.js' : '../src/cli/main.ts', import.meta.url).href)
await main(process.argv)

// `node bin/warren.js` has not passed through the shell. Then the process begins anew, in place, and with it ends a
// debugger that was opened before the first line here.
//
// YOUNG_HEAP: What an agent proxies passes through buffers outside of the heap, which are freed only when their young owners
// are collected. With a small young generation that is soon: 200 MB each way at once cost the two agents 40 MB of memory
// each and not 66 (test/integration/bulk.test.ts). V8 takes this size only at its start (docs/decisions/0015).
async function startRight() {
  const { NODE_OPTIONS, NODE_COMPILE_CACHE, ...env } = process.env
  const options = []
  if (!isGiven(NO_DEBUGGER)) options.push(NO_DEBUGGER)
  if (process.argv.includes('up') && !YOUNG_HEAP.some(isGiven)) options.push(...YOUNG_HEAP.map(name => `${name}=2`))
  if (options.length > 0 || NODE_OPTIONS || NODE_COMPILE_CACHE) {
    if (NODE_OPTIONS) env.WARREN_NODE_OPTIONS = NODE_OPTIONS
    try {
      const argv = [process.execPath, ...options, ...process.execArgv, ...process.argv.slice(1)]
      process.execve(process.execPath, argv, env)
    } catch {
      // Where a process cannot be replaced, it uses more memory, and a debugger was open for some milliseconds.
      if (NODE_OPTIONS) (await import('node:inspector')).close()
    }
  }
  const { WARREN_NODE_OPTIONS } = process.env
  if (WARREN_NODE_OPTIONS) process.env.NODE_OPTIONS = WARREN_NODE_OPTIONS
  delete process.env.WARREN_NODE_OPTIONS
}

// `node bin/warren.js` with an old Node: that of the checkout goes on, where a process can be replaced. Not as a child: whoever
// started this process watches it, and a registration ends with it.
function useOwnNode() {
  const what = `needs Node 24 or later, this is ${process.versions.node}`
  const own = join(root, 'node_modules', 'node', 'bin', 'node')
  if (!existsSync(join(root, 'src')))
    refuse(what, 'Install a newer Node, or the executable of a release, which needs none.')
  if (!existsSync(own)) refuse(what, `Run npm ci in ${root}: it installs the right Node.`)
  try {
    process.execve(own, [own, ...process.argv.slice(1)], process.env)
  } catch {
    // Node 20 cannot, nor 22 before 22.15.
  }
  refuse(what, `Run ${join(root, 'bin', 'warren.js')} without node before it: it takes the Node of this checkout.`)
}

function refuse(what, hint) {
  process.stderr.write(`warren: ${what}\n  ${hint}\n`)
  process.exit(2)
}

function isGiven(option) {
  return process.execArgv.some(given => given.split('=')[0] === option)
}

// The published package has no sources. In a checkout, what is built starts three times as fast, and is used until a source
// or a dependency is changed.
function isBuilt() {
  const sources = join(root, 'src')
  if (!existsSync(sources)) return true
  const built = statSync(join(root, 'dist', 'cli', 'main.js'), { throwIfNoEntry: false })
  if (built === undefined) return false
  // The folders as well, whose time tells of a file that is gone. Not by `join`: for a thousand names it takes as long as the system.
  const names = ['src', 'package-lock.json', ...readdirSync(sources, { recursive: true }).map(name => `src/${name}`)]
  return names.every(name => statSync(`${root}/${name}`).mtimeMs < built.mtimeMs)
}

// Saves about a third of the start-up time. Never in a directory that another user could write to: what is in the cache
// is executed. So not Node's default below /tmp, and the home directory as the system knows it, not as $HOME says.
function cacheCompiledCode() {
  try {
    const { uid, homedir } = userInfo()
    const directory = join(homedir, '.cache', 'warren')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const found = lstatSync(directory)
    if (found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0) nodeModule.enableCompileCache(directory)
  } catch {
    // Without a home directory it starts more slowly.
  }
}
