import { expect, it } from "vitest";
import { FLAG } from "../../src/v8-flags.js";
import { run } from "../support/run.js";

it("this V8 knows the flag that defers full garbage collections", async () => {
  expect(await run(process.execPath, [FLAG, "--eval", "0"])).toMatchObject({ code: 0, stderr: "" });
});
