// Emits dist/: JavaScript and declarations of src/, and the generated code that tsc does not copy.
import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { GENERATED } from './generated.ts'

const root = resolve(import.meta.dirname, '..')
// What a removed source file left behind must not be published.
rmSync(join(root, 'dist'), { recursive: true, force: true })
execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
cpSync(join(root, GENERATED), join(root, 'dist', 'wire', 'gen'), { recursive: true })
