/** Before all tests, and never beside one: some run the command as it is built, or load the page as it is built. */
import { execFileSync } from "node:child_process";

export default function build(): void {
  execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: ["ignore", "inherit", "inherit"] });
}
