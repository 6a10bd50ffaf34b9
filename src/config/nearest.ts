/** "Did you mean": the known name that a mistyped one comes nearest to. Pure. */

/** Changes (insert, delete, replace) from one text to the other. */
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

/** The nearest of the known names, case aside; undefined when none is within a third of its length and 3 changes. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > 100) return undefined; // not a slip of the finger, and the work grows with the length
  const ranked = known
    .map((candidate) => ({ candidate, changes: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, changes }) => changes <= Math.min(3, candidate.length / 3))
    .sort((a, b) => a.changes - b.changes);
  return ranked[0]?.candidate;
}
