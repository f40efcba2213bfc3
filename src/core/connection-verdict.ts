export type Verdict = 'works' | 'fails' | 'undecided'

/** What one host says of a connection. */
export interface EndVerdict {
  /** "source", "destination" or "neither". */
  readonly role: string
  readonly works: boolean
  /** The host cannot say it. Missing from agents of before it. */
  readonly undecided?: boolean
}

/** The verdict of one host. */
export function verdictOf({ works, undecided = false }: Omit<EndVerdict, 'role'>): Verdict {
  if (works) return 'works'
  return undecided ? 'undecided' : 'fails'
}

/** The verdict over the hosts of both ends. The host of a source that also has the destination speaks for both. */
export function jointVerdict(ends: readonly EndVerdict[]): Verdict {
  const of = (role: string): EndVerdict[] => ends.filter(end => end.role === role)
  const [sources, destinations] = [of('source'), of('destination')]
  if (sources.length + destinations.length === 0) return best(of('neither'))
  const source = best(sources)
  // The path is for the host of the source to try.
  const isWrong = destinations.length > 0 && destinations.every(end => verdictOf(end) === 'fails')
  if ((sources.length > 0 && source === 'fails') || isWrong) return 'fails'
  if (sources.length === 0) return 'undecided'
  return source
}

/**
 * The ends that have something to say, in the order of the connection: a host of neither end has it only if the others have not.
 */
export function concernedEnds<T extends EndVerdict>(ends: readonly T[]): readonly T[] {
  const concerned = ends.filter(({ role }) => role !== 'neither')
  return concerned.length === 0 ? ends : concerned.sort((one, other) => rankOf(one) - rankOf(other))
}

const rankOf = ({ role }: EndVerdict): number => (role === 'source' ? 0 : 1)

function best(ends: readonly EndVerdict[]): Verdict {
  const verdicts = ends.map(verdictOf)
  return (
    verdicts.find(one => one === 'works') ?? verdicts.find(one => one === 'undecided') ?? verdicts[0] ?? 'undecided'
  )
}
