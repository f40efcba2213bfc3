import { join } from 'node:path'
import { build, type Metafile } from 'esbuild'
import { lazyModules } from './lazy-modules.ts'
import { nativeCode } from './native-code.ts'

/** What a bundle for the executable is made from. */
export interface BundleOptions {
  /** The repository. */
  readonly root: string
  readonly version: string
  /** The file to write: one CommonJS module that requires built-in modules alone. */
  readonly file: string
}

/** Writes the whole command line and the agent as one module. */
export async function bundle({ root, version, file }: BundleOptions): Promise<Metafile> {
  const define = {
    WARREN_VERSION: JSON.stringify(version),
    'import.meta.url': '"file:///warren"',
    'import.meta.dirname': '"/"',
    __filename: '"/warren"',
    __dirname: '"/"'
  }
  const { metafile } = await build({
    absWorkingDir: root,
    stdin: { contents: "require('./src/cli/main.ts').main(process.argv)", resolveDir: root, loader: 'js' },
    outfile: file,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    // Only ASCII, so that the executable may hold it in whatever encoding.
    charset: 'ascii',
    legalComments: 'none',
    mainFields: ['module', 'main'],
    // The modules are made to require each other, and mean what they imported.
    conditions: ['import', 'module'],
    define,
    plugins: [nativeCode(root), lazyModules(join(root, 'src'), define)],
    metafile: true,
    logLevel: 'warning'
  })
  return metafile
}
