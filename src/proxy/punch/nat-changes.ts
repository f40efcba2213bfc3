/** A port that a host has bound, and how it is seen from outside. */
export interface SeenPort {
  readonly bound: number
  readonly seen: number
}

/** How the NATs of two hosts change the ports, as the end of the reason of a failure. */
export function natChanges(own: SeenPort, other: SeenPort): string {
  const changed = [
    { whose: 'this host', ...own },
    { whose: 'the other host', ...other }
  ].filter(({ bound, seen }) => bound !== seen)
  if (changed.length === 0) return ', though both NATs keep ports'
  const each = changed.map(({ whose, bound, seen }) => `the NAT of ${whose} changes ports: ${bound} became ${seen}`)
  return `; ${each.join(', and ')}`
}
