/** Whether a grant still stands, from what the wallet noted. The ledger's proof on the detail page has the last word. */
import type { GrantNote, Person } from './index-blob'

/** `pending`: noted, but no receipt has shown yet that it was recorded. `shown`: it was for one time, which is over. */
export type ShareStatus = 'active' | 'pending' | 'revoked' | 'expired' | 'shown'

export interface Share {
  person: Person
  grant: GrantNote
  status: ShareStatus
}

export function shareStatus(grant: GrantNote, atMs: number): ShareStatus {
  if (grant.revokedMs !== undefined) return 'revoked'
  if (grant.shownMs !== undefined) return 'shown'
  if (atMs >= grant.untilMs) return 'expired'
  return grant.final ? 'active' : 'pending'
}

/** All shares of all persons, newest first. */
export function sharesOf(people: Person[], atMs: number): Share[] {
  return people
    .flatMap((person) => person.grants.map((grant) => ({ person, grant, status: shareStatus(grant, atMs) })))
    .sort((a, b) => b.grant.notedMs - a.grant.notedMs)
}
