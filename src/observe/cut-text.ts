/** Maximum length of a string in the log, in lists and in traces, characters. Clients choose many of these strings. Pure. */
export const MAX_TEXT_LENGTH = 256;

export function cutText(text: string): string;
export function cutText(text: string | undefined): string | undefined;
export function cutText(text: string | undefined): string | undefined {
  return text?.slice(0, MAX_TEXT_LENGTH);
}
