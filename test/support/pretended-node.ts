/** The command on another Node than the one that the tests run on, as far as it can see: it says if that one is too old. */

/** @param version such as `v24.18.0`. @returns what goes into the command's environment. */
export function pretendNode(version: string): { readonly NODE_OPTIONS: string } {
  const program = `Object.defineProperty(process, "version", { value: "${version}" })`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(program)}` };
}

/** Nothing is said of this one. */
export const NEW_NODE = pretendNode("v99.0.0");
