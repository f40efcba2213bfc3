import { copyFileSync, mkdtempSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { deb } from './deb.ts'
import { packageVersion } from './describe.ts'
import type { Extras } from './extras.ts'
import type { Images } from './image/images.ts'
import type { Platform } from './platforms.ts'
import { rpm } from './rpm.ts'
import { type RpmKey, signRpm } from './rpm-signature.ts'
import { tarball } from './tarball.ts'
import { layOut } from './tree.ts'

export const FORMS = ['deb', 'rpm', 'image'] as const
/** A form that a release can do without, where a tool for it is missing. */
export type Form = (typeof FORMS)[number]

export interface Publishing {
  readonly root: string
  readonly version: string
  readonly maintainer: string
  readonly licenses: string
  readonly sbom: string
  readonly extras: Extras
  readonly epochSeconds: number
  readonly without: readonly Form[]
  /** Signs each rpm, if there is one. */
  readonly rpmKey: RpmKey | undefined
  readonly images: Images
  readonly out: string
  readonly work: string
}

/** Writes an executable, which is moved, in all forms into `out`. Returns the names of the files. */
export function publish(platform: Platform, name: string, executable: string, options: Publishing): string[] {
  const { root, version, maintainer, licenses, sbom, extras, epochSeconds, without, rpmKey, images, out, work } =
    options
  const has = (form: Form): boolean => !without.includes(form)
  const tree = (form: Form): string => {
    const to = mkdtempSync(join(work, `${form}-`))
    const zshCompletions = form === 'deb' ? { zshCompletions: 'zsh/vendor-completions' } : {}
    layOut({ root, to, executable, licenses, sbom, extras, epochSeconds, ...zshCompletions })
    return to
  }
  const names = [tarball({ name, executable, root, licenses, extras, epochSeconds, out, work })]
  const common = { root, version, maintainer, epochSeconds }
  if (has('deb')) {
    const file = `warren_${packageVersion(version)}_${platform.deb}.deb`
    deb({ ...common, tree: tree('deb'), arch: platform.deb, file: join(out, file) })
    names.push(file)
  }
  if (has('rpm')) {
    const file = `warren-${packageVersion(version)}-1.${platform.rpm}.rpm`
    rpm({ ...common, tree: tree('rpm'), arch: platform.rpm, file: join(out, file), work })
    if (rpmKey !== undefined) signRpm(join(out, file), rpmKey, epochSeconds)
    names.push(file)
  }
  if (has('image')) names.push(images.add(platform, { executable, licenses, sbom }))
  move(executable, join(out, name))
  return [name, ...names]
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch {
    // Another file system.
    copyFileSync(from, to)
  }
}
