/** The weight of an instance that states none, as all those of older programs. */
export const DEFAULT_WEIGHT = 100
/** A greater weight counts as this one, so that no host draws more than ten times the usual share to one registration. */
export const MAX_WEIGHT = 1_000
/** The label by which the instances of one zone are known. */
export const ZONE_LABEL = 'zone'
