import { readFileSync } from 'node:fs'

/** The labels that the security modules of the kernel enforce for a process. */
export interface SecurityLabels {
  /** Context of SELinux, as in "system_u:system_r:container_t:s0:c1,c2". */
  readonly selinux?: string
  /** Profile of AppArmor. */
  readonly apparmor?: string
}

/** Reads them by pid; the caller must hold the process, and check afterwards that it still lives. Never throws. */
export function labelsOf(pid: number): SecurityLabels {
  // Where SELinux does not enforce, a process may take any label.
  const selinux =
    read('/sys/fs/selinux/enforce') === '1' ? selinuxContext(read(`/proc/${pid}/attr/current`)) : undefined
  const apparmor = apparmorProfile(read(`/proc/${pid}/attr/apparmor/current`))
  return { ...(selinux !== undefined && { selinux }), ...(apparmor !== undefined && { apparmor }) }
}

/** A context of at least three parts; undefined of any other text. */
export function selinuxContext(text = ''): string | undefined {
  const context = text.replace(/[\n\0]+$/, '')
  return /^[^\s:]+(?::[^\s:]+){2}(?::[^\s]+)?$/.test(context) ? context : undefined
}

/** The name of a profile that is enforced: one that only complains, or none, confines nobody. */
export function apparmorProfile(text = ''): string | undefined {
  return /^(\S.*) \(enforce\)$/.exec(text.replace(/[\n\0]+$/, ''))?.[1]
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
