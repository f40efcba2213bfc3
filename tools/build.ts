// Emits dist/: the code in a few bundles, because to find and read a thousand small modules takes longer than all else that
// an agent does to start; and, unless `--code` is given, the declarations of src/. `--out DIR` puts the code there instead.
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build, type Metafile, transform } from 'esbuild'
import { GENERATED } from './generated.ts'
import { licensesOf } from './licenses.ts'
import { NATIVE_PACKAGES } from './native-packages.ts'
import { requiredBuiltins } from './required-builtins.ts'
import { slimPackages } from './slim-packages.ts'
import { webFiles, withPages } from './web-files.ts'

const { values } = parseArgs({ options: { code: { type: 'boolean' }, out: { type: 'string' } } })
const root = resolve(import.meta.dirname, '..')
const dist = values.out === undefined ? join(root, 'dist') : resolve(values.out)

// Output of a removed source file must not be published.
rmSync(dist, { recursive: true, force: true })
if (values.code !== true) declarations()
const metafile = await bundles()
for (const file of Object.keys(metafile.outputs)) await asciiComments(join(root, file))
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), licensesOf(root, withPages(root, metafile)))

function declarations(): void {
  execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit'
  })
  const generated = join(root, GENERATED)
  for (const entry of readdirSync(generated, { recursive: true, encoding: 'utf8' })) {
    if (entry.endsWith('.d.ts')) cpSync(join(generated, entry), join(dist, 'wire', 'gen', entry))
  }
}

// V8 keeps the text of each module for as long as it runs: a byte for each character, but two of all if one is beyond Latin-1.
// A few signs in comments of libraries cost an agent 3.5 MB. esbuild escapes such characters everywhere else.
async function asciiComments(path: string): Promise<void> {
  if (!path.endsWith('.js')) return
  const code = readFileSync(path, 'utf8')
  const plain = code.replace(/[^\p{ASCII}]/gu, '?')
  if (plain === code) return
  const bare = async (text: string): Promise<string> => (await transform(text, { minifyWhitespace: true })).code
  if ((await bare(plain)) !== (await bare(code)))
    throw new Error(`${path}: characters beyond ASCII outside of comments`)
  writeFileSync(path, plain)
}

async function bundles(): Promise<Metafile> {
  const entries = ['cli/main', 'client/index', 'agent/index']
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: entries.map(entry => `src/${entry}.ts`),
    outbase: 'src',
    outdir: dist,
    bundle: true,
    splitting: true,
    // As deep as the entries, for the paths that are relative to a module.
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    // The library runs on it; the agent needs a later one.
    target: 'node22',
    external: [...NATIVE_PACKAGES],
    define: { WARREN_BUNDLED: 'true' },
    banner: {
      // CommonJS packages among the bundled ones ask for Node's modules.
      js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)"
    },
    plugins: [slimPackages(), requiredBuiltins(), webFiles(root)],
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning'
  })
  return metafile
}
