import { writeFileSync } from 'node:fs'
import { build, type Metafile } from 'esbuild'
import { slimPackages } from '../slim-packages.ts'
import { webFiles, withPages } from '../web-files.ts'
import { packModules } from './modules.ts'
import { nativeCode } from './native-code.ts'

/** What a bundle for the executable is made from. */
export interface BundleOptions {
  /** The repository. */
  readonly root: string
  readonly version: string
  /** The file to write: all modules (packModules), which require each other and built-in modules alone. */
  readonly file: string
}

const ENTRY = 'tools/release/entry.ts'

/** Writes the whole command line and the agent as one file. */
export async function bundle({ root, version, file }: BundleOptions): Promise<Metafile> {
  const define = {
    WARREN_VERSION: JSON.stringify(version),
    WARREN_BUNDLED: 'true',
    'import.meta.url': '"file:///warren"',
    'import.meta.dirname': '"/"',
    __filename: '"/warren"',
    __dirname: '"/"'
  }
  // For what the imports resolve to, and which modules are used.
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [ENTRY],
    outfile: file,
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    mainFields: ['module', 'main'],
    // The modules are made to require each other, and mean what they imported.
    conditions: ['import', 'module'],
    define,
    plugins: [nativeCode(root), slimPackages(), webFiles(root)],
    metafile: true,
    logLevel: 'warning'
  })
  writeFileSync(file, await packModules({ root, inputs: metafile.inputs, entry: ENTRY, define }), 'latin1')
  return withPages(root, metafile)
}
