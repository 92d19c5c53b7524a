/** Whether a grant still stands, from what the wallet noted. The ledger's proof on the detail page has the last word. */
import type { GrantNote, Person } from './index-blob'

export type ShareStatus = 'active' | 'revoked' | 'expired'

export interface Share {
  person: Person
  grant: GrantNote
  status: ShareStatus
}

export function shareStatus(grant: GrantNote, atMs: number): ShareStatus {
  if (grant.revokedMs !== undefined) return 'revoked'
  return atMs >= grant.untilMs ? 'expired' : 'active'
}

/** All shares of all persons, newest first. */
export function sharesOf(people: Person[], atMs: number): Share[] {
  return people
    .flatMap((person) => person.grants.map((grant) => ({ person, grant, status: shareStatus(grant, atMs) })))
    .sort((a, b) => b.grant.notedMs - a.grant.notedMs)
}
