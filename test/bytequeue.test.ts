import { expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { ByteQueue } from "../src/bytequeue.ts";

function append(queue: ByteQueue, text: string): void {
  queue.append(Buffer.from(text), text.length);
}

const step = fc.oneof(
  fc.record({ append: fc.string({ unit: fc.constantFrom("a", "b", "\n"), minLength: 1 }) }),
  fc.record({ skip: fc.nat(8) }),
  fc.constant("find" as const),
);

test("findLineFeed finds what a text would, whatever was appended and taken out before", () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const queue = new ByteQueue();
      let text = "";
      for (const command of steps) {
        if (command === "find") expect(queue.findLineFeed()).toBe(text.indexOf("\n"));
        else if ("append" in command) {
          append(queue, command.append);
          text += command.append;
        } else {
          const size = Math.min(command.skip, text.length);
          queue.skip(size);
          text = text.slice(size);
        }
      }
      expect(queue.findLineFeed()).toBe(text.indexOf("\n"));
    }),
  );
});

test("findLineFeed looks at no byte twice, also when some before it were taken out", () => {
  const queue = new ByteQueue();
  append(queue, "0123456789");
  queue.findLineFeed();
  queue.skip(4);
  const search = spyOn(Buffer.prototype, "indexOf");
  try {
    queue.findLineFeed();
    expect(search.mock.calls).toEqual([[10, 10]] as never);
  } finally {
    search.mockRestore();
  }
});
