/** Finds the known name that is nearest to a mistyped name. Pure. */

/** @returns the number of insertions, deletions and replacements between the texts (Levenshtein distance). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, character] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (character === b[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** @returns the nearest known name, ignoring case, within 3 changes and a third of its length; otherwise undefined. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > 100) return undefined; // not a typing error, and the work grows with the length
  const ranked = known
    .map((candidate) => ({ candidate, changes: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, changes }) => changes <= Math.min(3, candidate.length / 3))
    .sort((a, b) => a.changes - b.changes);
  return ranked[0]?.candidate;
}
