import fc from "fast-check";

/** Texts with every kind of end of line, and characters of one to four bytes. */
export const texts = fc
  .array(fc.constantFrom("a", "b", "é", "€", "😀", "\r", "\r", "\n", "\n", "\r\n"), { maxLength: 24 })
  .map((parts) => parts.join(""));

/** Where a text is split, as fractions of its bytes. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

/** The parts of a text's bytes, without empty ones. */
export function split(text: string, fractions: number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const places = [0, ...fractions.map((fraction) => Math.round(fraction * bytes.length)), bytes.length];
  places.sort((a, b) => a - b);
  const parts = places.slice(1).map((place, i) => bytes.subarray(places[i], place));
  return parts.filter((part) => part.length > 0);
}

/** The lines of a whole text, each without its LF or CR LF; the last one may have none. */
export function linesOf(text: string): string[] {
  const lines = text.split("\n");
  const last = lines.pop() as string;
  return [...lines.map((line) => line.replace(/\r$/, "")), ...(last === "" ? [] : [last])];
}
