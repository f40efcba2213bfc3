/** Where a process is in the cgroup hierarchy. */
export interface CgroupPlace {
  /** Path in version 2, as in "/system.slice/nginx.service". */
  readonly cgroup: string | undefined
  /** The unit of the system's own service manager. */
  readonly systemdUnit: string | undefined
}

const NOWHERE: CgroupPlace = Object.freeze({ cgroup: undefined, systemdUnit: undefined })

/**
 * Reads /proc/PID/cgroup. Only the version 2 line counts: in the others a process may be where no manager put it.
 *
 * The unit is the outermost part that is no slice. The parts below it may be delegated, for example to each user below
 * user@UID.service, who can name a part after any unit.
 */
export function parseCgroup(text: string): CgroupPlace {
  const path = /^0::(\/.*)$/m.exec(text)?.[1]
  // A path with ".." is outside of the view of this process, so its name may mean anything.
  if (path === undefined || path.split('/').includes('..')) return NOWHERE
  const outermost = path
    .split('/')
    .filter(part => part !== '')
    .find(part => !part.endsWith('.slice'))
  const isUnit = outermost !== undefined && /\.(service|scope)$/.test(outermost)
  return { cgroup: path, systemdUnit: isUnit ? outermost : undefined }
}
