// A chat server: join with `nc 127.0.0.1 <port>`, from several terminals.
//
//   bun run examples/chat.ts [port]
//
// Ctrl-C ends it.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  getLocalAddr,
  listen,
  OSError,
  recv,
  SOBool,
  send,
  setSockOpt,
} from "asyncdispatch";

/** How much a member may be behind with reading before it is shut out: nobody waits for it. */
const MAX_UNSENT_BYTES = 256 * 1024;
const MAX_LINE_BYTES = 4096;

interface Member {
  readonly socket: AsyncFD;
  readonly name: string;
  unsentBytes: number;
}

const members = new Map<string, Member>();

/** Sends without waiting: a member that does not read holds up nobody else. */
function tell(member: Member, text: string): void {
  const data = Buffer.from(`${text}\n`);
  member.unsentBytes += data.length;
  // Sends on one socket keep their order, so that they need not be waited for one by one.
  send(member.socket, data).addCallback(() => {
    member.unsentBytes -= data.length;
  });
  if (member.unsentBytes > MAX_UNSENT_BYTES) leave(member, "does not read and was shut out");
}

function tellAll(text: string, except?: Member): void {
  console.log(text);
  for (const member of [...members.values()]) {
    // Telling one member can shut it out, and so change who is there.
    if (member !== except && members.get(member.name) === member) tell(member, text);
  }
}

/** Closing makes whatever still waits for the socket fail: its `recv` below, and the sends it has not read. */
function leave(member: Member, how: string): void {
  if (members.get(member.name) !== member) return;
  members.delete(member.name);
  closeSocket(member.socket);
  tellAll(`* ${member.name} ${how}`);
}

/** Splits what a socket receives into lines, without their ends and control characters. */
function lineReader(socket: AsyncFD): () => ReturnType<typeof nextLine> {
  let rest = Buffer.alloc(0);
  const nextLine = async(function* () {
    for (;;) {
      const end = rest.indexOf("\n");
      if (end !== -1) {
        const line = rest.subarray(0, end).toString();
        rest = rest.subarray(end + 1);
        return line.replace(/\p{Cc}/gu, "").trim();
      }
      if (rest.length > MAX_LINE_BYTES) throw new Error("sent a line that is too long");
      const data = yield* recv(socket, 4096);
      if (data.length === 0) return null;
      rest = Buffer.concat([rest, data]);
    }
  });
  return nextLine;
}

const serve = async(function* (socket: AsyncFD) {
  let member: Member | undefined;
  let how = "left";
  try {
    setSockOpt(socket, SOBool.OptKeepAlive, true); // finds out about clients whose machine is gone
    const readLine = lineReader(socket);
    yield* send(socket, "What is your name?\n");
    while (member === undefined) {
      const name = yield* readLine();
      if (name === null) return;
      if (name === "" || name.length > 20 || members.has(name)) {
        yield* send(socket, "That name is taken, empty or too long; another one?\n");
      } else {
        member = { socket, name, unsentBytes: 0 };
      }
    }
    tell(member, `* Welcome, ${member.name}. Here: ${[...members.keys()].join(", ") || "nobody else"}`);
    members.set(member.name, member);
    tellAll(`* ${member.name} joined`, member);
    for (let line = yield* readLine(); line !== null; line = yield* readLine()) {
      if (line !== "") tellAll(`${member.name}: ${line}`, member);
    }
  } catch (error) {
    how = `left (${(error as Error).message})`;
  } finally {
    if (member === undefined) closeSocket(socket);
    else leave(member, how);
  }
});

const acceptClients = async(function* (listener: AsyncFD) {
  for (;;) {
    try {
      asyncCheck(serve(yield* accept(listener)));
    } catch (error) {
      if (!(error instanceof OSError)) throw error;
      console.log(`cannot accept: ${error.message}`); // out of descriptors, for example
    }
  }
});

const listener = createAsyncNativeSocket();
setSockOpt(listener, SOBool.OptReuseAddr, true);
bindAddr(listener, "127.0.0.1", Number(process.argv[2] ?? 0)); // 0: the system chooses
listen(listener);
const port = getLocalAddr(listener)[1];
console.log(`listening on 127.0.0.1 port ${port}; join with \`nc 127.0.0.1 ${port}\``);
asyncCheck(acceptClients(listener));
