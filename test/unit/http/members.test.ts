import { describe, expect, it } from "vitest";
import { Members } from "../../../src/http/members.js";

function membersOf(...all: readonly string[]): Members<string> {
  const members = new Members<string>();
  for (const member of all) members.add(member);
  return members;
}

describe("the members of a set", () => {
  it("are listed in the order in which they were added", () => {
    const members = membersOf("a", "b", "c");
    members.delete("a");
    members.add("a");
    expect([...members]).toEqual(["b", "c", "a"]);
    expect(members.size).toBe(3);
  });

  it("are known", () => {
    expect(membersOf("a").has("a")).toBe(true);
    expect(membersOf("a").has("b")).toBe(false);
  });

  it("stay if something else is deleted", () => {
    const members = membersOf("a", "b");
    members.delete("c");
    expect([...members]).toEqual(["a", "b"]);
  });

  it("can be deleted while they are listed", () => {
    const members = membersOf("a", "b", "c");
    const listed: string[] = [];
    for (const member of members) {
      listed.push(member);
      members.delete(member);
    }
    expect(listed).toEqual(["a", "b", "c"]);
    expect(members.size).toBe(0);
  });
});
