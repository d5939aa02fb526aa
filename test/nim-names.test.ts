import { expect, test } from "bun:test";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { AsyncFile } from "../src/asyncfile.ts";
import * as asyncnet from "../src/asyncnet.ts";
import type { AsyncFD, Callback, FutureInfo, PDispatcher, Port } from "../src/index.ts";
import { AsyncEvent, Dispatcher, FutureError, newFuture, newFutureStream, newFutureVar } from "../src/index.ts";

/** What Nim's modules export, by their sections in the document. */
const NIM_NAMES: Record<string, string> = {
  asyncdispatch: `AsyncEvent AsyncFD Callback CompletionData CustomRef PDispatcher Port SocketFlag == accept acceptAddr
    activeDescriptors addEvent addProcess addRead addSignal addTimer addWrite callSoon close closeSocket connect contains
    createAsyncNativeSocket dial drain getGlobalDispatcher getIoHandler hasPendingOperations maxDescriptors
    newAsyncEvent newCustom newDispatcher poll readAll recv recvFromInto recvInto register runForever scheduleCallbacks
    send sendTo setGlobalDispatcher setInheritable sleepAsync trigger unregister waitFor withTimeout
    PDispatcher.timers PDispatcher.callbacks PDispatcher.handles`,
  asyncfutures: `Future FutureBase FutureError FutureInfo FutureVar NimAsyncContinueSuffix isFutureLoggingEnabled $
    addCallback all and asyncCheck callSoon callback= clean clearCallbacks complete fail failed finished
    getCallSoonProc getFuturesInProgress mget newFuture newFutureVar or read readError setCallSoonProc
    FutureBase.error FutureBase.errorStackTrace FutureError.cause`,
  asyncstreams:
    "FutureStream callback= complete fail failed finished len newFutureStream read write FutureStream.error",
  asyncmacro: "async await multisync yield",
  asyncnet: `AsyncSocket newAsyncSocket dial connect connectUnix bindUnix recv recvInto recvLine recvLineInto send sendTo
    recvFrom accept acceptAddr bindAddr listen getLocalAddr getPeerAddr getSockOpt setSockOpt getFd isClosed
    hasDataBuffered close isSsl wrapSocket wrapConnectedSocket sslHandle getPeerCertificates`,
  asyncfile: `AsyncFile openAsync newAsyncFile read readBuffer readAll readLine write writeBuffer getFilePos setFilePos
    getFileSize setFileSize close writeFromStream readToStream`,
};

/** The types that the tables name and that are no classes. `npm run check` finds a name that is none. */
interface Types {
  AsyncFD: AsyncFD;
  Callback: Callback;
  FutureInfo: FutureInfo;
  PDispatcher: PDispatcher;
  Port: Port;
}
const types: Record<keyof Types, true> = {
  AsyncFD: true,
  Callback: true,
  FutureInfo: true,
  PDispatcher: true,
  Port: true,
};

/** What stands before the dot of a member. */
const receivers: Record<string, object> = {
  future: newFuture(),
  futureVar: newFutureVar(),
  stream: newFutureStream(),
  event: AsyncEvent.prototype,
  dispatcher: Dispatcher.prototype,
  error: new FutureError("", newFuture()),
  asyncnet,
  asyncSocket: asyncnet.AsyncSocket.prototype,
  asyncFile: AsyncFile.prototype,
};

/** Forms that are words of the language and no names. */
const language = ["a === b", "yield* future", "yield future"];

interface Row {
  readonly section: string;
  readonly nim: string[];
  readonly forms: string[];
  readonly isAbsent: boolean;
  readonly difference: string;
}

const root = join(import.meta.dir, "..");
const text = await Bun.file(join(root, "docs/nim.md")).text();
const rows = rowsOf(text);
const forms = rows.flatMap((row) => row.forms).filter((form) => !language.includes(form));
const exported = await exportsOf(packageJson.exports);

/** The rows of the tables of names, and of no other. */
function rowsOf(document: string): Row[] {
  const found: Row[] = [];
  let section = "";
  let isNames = false;
  for (const line of document.split("\n")) {
    if (line.startsWith("## ")) section = line.slice(3);
    const [first, second, third] = line.startsWith("|") ? cellsOf(line) : [];
    if (first === undefined || second === undefined || third === undefined) isNames = false;
    else if (first === "Nim") isNames = second === "TypeScript";
    else if (isNames && !first.startsWith("---")) {
      const isAbsent = second === "—";
      found.push({ section, nim: codeIn(first), forms: codeIn(second), isAbsent, difference: third });
    }
  }
  return found;
}

function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function codeIn(cell: string): string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code]) => code as string);
}

async function exportsOf(entries: Record<string, unknown>): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const entry of Object.values(entries)) {
    const path = (entry as { default?: string }).default;
    if (path !== undefined) Object.assign(all, await import(join(root, path)));
  }
  return all;
}

/** `name`, `name(…)`, `receiver.member`, `receiver.member(…)` or `receiver.member = …`; undefined for anything else. */
function parse(form: string): { receiver: string | undefined; name: string } | undefined {
  const [, receiver, name] = /^(?:(\w+)\.)?(\w+)(?:\([^()]*\)| = \w+)?$/.exec(form) ?? [];
  return name === undefined ? undefined : { receiver, name };
}

/** What a member is looked for in: one of {@link receivers}, or what is exported under that name. */
function receiverOf(name: string): object {
  return Object(receivers[name] ?? exported[name]);
}

test("every name of Nim's modules has a row", () => {
  for (const [section, names] of Object.entries(NIM_NAMES)) {
    const there = rows.filter((row) => row.section === section).flatMap((row) => row.nim);
    const missing = names.split(/\s+/).filter((name) => !there.includes(name));
    expect({ section, missing }).toEqual({ section, missing: [] });
  }
});

test("every form is a name, a call, a member or a word of the language", () => {
  expect(forms.filter((form) => parse(form) === undefined)).toEqual([]);
});

test("every function, class and constant is exported", () => {
  const names = forms.map(parse).filter((form) => form !== undefined && form.receiver === undefined);
  expect(names.length).toBeGreaterThan(0);
  const missing = names.filter((form) => form && !(form.name in exported) && !(form.name in types));
  expect(missing).toEqual([]);
});

test("every member exists", () => {
  const members = forms.map(parse).filter((form) => form?.receiver !== undefined);
  expect(members.length).toBeGreaterThan(0);
  const missing = members.filter((form) => form?.receiver && !(form.name in receiverOf(form.receiver)));
  expect(missing).toEqual([]);
});

test("every form with arguments is a function", () => {
  const calls = forms.filter((form) => form.endsWith(")")).map(parse);
  expect(calls.length).toBeGreaterThan(0);
  const others = calls.filter((form) => {
    const owner = form?.receiver === undefined ? exported : receiverOf(form.receiver);
    return form && typeof Reflect.get(owner, form.name) !== "function";
  });
  expect(others).toEqual([]);
});

test("the types that are checked for are those that the tables name", () => {
  expect(Object.keys(types).filter((name) => !forms.includes(name))).toEqual([]);
});

test("a row without a form gives the reason", () => {
  const absent = rows.filter((row) => row.isAbsent);
  expect(absent.length).toBeGreaterThan(0);
  expect(absent.filter((row) => row.difference === "")).toEqual([]);
});

test("a row that is not marked as absent has a form", () => {
  expect(rows.filter((row) => !row.isAbsent && row.forms.length === 0)).toEqual([]);
});

test("every quirk from Q1 to Q26 has a line, in order", () => {
  const quirks = Array.from(text.matchAll(/^- \*\*(Q\d+)\*\* (?:.|\n )+? → /gm), ([, quirk]) => quirk as string);
  expect(quirks).toEqual(Array.from({ length: 26 }, (_, index) => `Q${index + 1}`));
});
