import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { ipVersion } from "../src/ipaddress.ts";

function expectAsNode(text: string): void {
  expect([text, ipVersion(text)]).toEqual([text, isIP(text) as 0 | 4 | 6]);
}

const group = fc.oneof(fc.stringMatching(/^[0-9a-f]{0,5}$/), fc.constantFrom("", "0", "01", "256", "1.2.3.4", "1.2.3"));
const zone = fc.constantFrom("", "%eth0", "%1", "%", "%a b");

test("addresses are told from other texts as by node:net", () => {
  const separator = fc.constantFrom(":", "::", ".");
  const almost = fc
    .tuple(fc.array(group, { minLength: 1, maxLength: 9 }), separator, zone)
    .map(([groups, between, end]) => groups.join(between) + end);
  fc.assert(fc.property(fc.oneof(almost, fc.string(), fc.domain()), expectAsNode), { numRuns: 5000 });
});

test("so are addresses that are right", () => {
  const right = fc.oneof(
    fc.ipV4(),
    fc.tuple(fc.ipV6(), zone).map(([address, end]) => address + end),
  );
  fc.assert(fc.property(right, expectAsNode), { numRuns: 2000 });
});
