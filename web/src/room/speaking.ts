/** Who spoke lately, and who is therefore kept in view where not all can be. */

/** The users who spoke, the latest first: those who speak now before those who did before. */
export function recall(recent: readonly string[], speaking: readonly string[]): string[] {
  return [...speaking, ...recent.filter((u) => !speaking.includes(u))];
}

/** The n that are kept in view: who spoke latest, then who came first. The order is that of `people`, so that a new voice moves one tile and not all. */
export function inView<T extends { user: string }>(people: readonly T[], n: number, recent: readonly string[]): T[] {
  if (people.length <= n) return [...people];
  const rank = (p: T) => (recent.includes(p.user) ? recent.indexOf(p.user) : recent.length + people.indexOf(p));
  const chosen = [...people].sort((a, b) => rank(a) - rank(b)).slice(0, Math.max(0, n));
  return people.filter((p) => chosen.includes(p));
}
