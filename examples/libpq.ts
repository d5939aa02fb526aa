// PostgreSQL through its C library, libpq, beside Bun.serve. libpq has a socket of its own and wants to be told when it
// is ready, which Bun alone cannot do: addRead and addWrite can. Nothing here blocks, and Bun's loop drives all of it.
//
//   bun run examples/libpq.ts [connection]     such as "host=/var/run/postgresql user=me" or postgresql://...
//
// Without an argument it takes PGURL, else libpq's own PGHOST, PGUSER and so on. It needs libpq (Debian: libpq5).
// It prints its port; then:
//
//   curl 127.0.0.1:<port>/databases            the rows of a query
//   curl 127.0.0.1:<port>/sleep/5 &            a slow query,
//   curl 127.0.0.1:<port>/                     while which this is answered at once
//   curl 127.0.0.1:<port>/divide/1/0           an error of the server
//   psql -c "notify example, 'hello'"          is printed here; Ctrl-C ends it
//
// Its limits: one connection, so that queries wait for each other, and it is not made again when it breaks; no
// parameters (PQsendQueryParams), no COPY, no cancelling. libpq looks the name of a host up in place, which blocks.
import { CString, dlopen, type Pointer, read } from "bun:ffi";
import { type AsyncFD, addRead, addWrite, newFuture, register, unregister } from "asyncdispatch";

const { symbols: pq } = dlopen("libpq.so.5", {
  PQconnectStart: { args: ["cstring"], returns: "ptr" },
  PQconnectPoll: { args: ["ptr"], returns: "i32" },
  PQstatus: { args: ["ptr"], returns: "i32" },
  PQerrorMessage: { args: ["ptr"], returns: "cstring" },
  PQsocket: { args: ["ptr"], returns: "i32" },
  PQsetnonblocking: { args: ["ptr", "i32"], returns: "i32" },
  PQsendQuery: { args: ["ptr", "cstring"], returns: "i32" },
  PQflush: { args: ["ptr"], returns: "i32" },
  PQconsumeInput: { args: ["ptr"], returns: "i32" },
  PQisBusy: { args: ["ptr"], returns: "i32" },
  PQgetResult: { args: ["ptr"], returns: "ptr" },
  PQresultStatus: { args: ["ptr"], returns: "i32" },
  PQresultErrorMessage: { args: ["ptr"], returns: "cstring" },
  PQntuples: { args: ["ptr"], returns: "i32" },
  PQnfields: { args: ["ptr"], returns: "i32" },
  PQfname: { args: ["ptr", "i32"], returns: "cstring" },
  PQgetisnull: { args: ["ptr", "i32", "i32"], returns: "i32" },
  PQgetvalue: { args: ["ptr", "i32", "i32"], returns: "cstring" },
  PQclear: { args: ["ptr"], returns: "void" },
  PQnotifies: { args: ["ptr"], returns: "ptr" },
  PQfreemem: { args: ["ptr"], returns: "void" },
  PQfinish: { args: ["ptr"], returns: "void" },
});

const CONNECTION_BAD = 1;
const POLLING = { FAILED: 0, READING: 1, WRITING: 2, OK: 3 };
const RESULT = { TUPLES_OK: 2, FATAL_ERROR: 7 };

type Row = Record<string, string | null>;

/** One connection. Queries on it run one after another, in the order in which they were asked for. */
class Database {
  /** How many queries are running or wait for their turn. */
  waiting = 0;
  private last: Promise<unknown> = Promise.resolve();
  private readonly connection: Pointer;
  private readonly socket: AsyncFD;
  private readonly onNotification: (channel: string, payload: string) => void;
  /** Finished when the socket has been readable, or writable where that is waited for. */
  private moved = newFuture("Database");

  private constructor(connection: Pointer, onNotification: Database["onNotification"]) {
    this.connection = connection;
    this.socket = pq.PQsocket(connection) as AsyncFD;
    this.onNotification = onNotification;
    pq.PQsetnonblocking(connection, 1);
    register(this.socket);
    addRead(this.socket, () => this.consumeInput());
  }

  static async connect(info: string, onNotification: Database["onNotification"]): Promise<Database> {
    const connection = pq.PQconnectStart(info) as Pointer | null;
    if (connection === null) throw new Error("libpq has no memory");
    let state = pq.PQstatus(connection) === CONNECTION_BAD ? POLLING.FAILED : POLLING.WRITING;
    while (state === POLLING.READING || state === POLLING.WRITING) {
      await ready(pq.PQsocket(connection) as AsyncFD, state === POLLING.READING ? addRead : addWrite);
      state = pq.PQconnectPoll(connection);
    }
    if (state === POLLING.OK) return new Database(connection, onNotification);
    const error = errorOf(connection);
    pq.PQfinish(connection);
    throw error;
  }

  /** The rows of the last statement in `sql`. */
  query(sql: string): Promise<Row[]> {
    this.waiting += 1;
    const rows = this.last.then(() => this.run(sql)).finally(() => (this.waiting -= 1));
    this.last = rows.catch(() => undefined);
    return rows;
  }

  private async run(sql: string): Promise<Row[]> {
    if (pq.PQsendQuery(this.connection, sql) === 0) throw errorOf(this.connection);
    while (pq.PQflush(this.connection) === 1) {
      addWrite(this.socket, () => this.notifyMoved());
      await this.moved;
    }
    let rows: Row[] = [];
    let error: Error | undefined;
    for (;;) {
      while (pq.PQisBusy(this.connection) === 1) await this.moved;
      const result = pq.PQgetResult(this.connection) as Pointer | null; // does not block now
      if (result === null) break;
      const status = pq.PQresultStatus(result);
      if (status === RESULT.TUPLES_OK) rows = rowsOf(result);
      if (status === RESULT.FATAL_ERROR) error = new Error(pq.PQresultErrorMessage(result)?.trim());
      pq.PQclear(result);
    }
    this.takeNotifications();
    if (error !== undefined) throw error;
    return rows;
  }

  /** The callback of `addRead`, all the time: notifications also come while no query runs. */
  private consumeInput(): boolean {
    const isBroken = pq.PQconsumeInput(this.connection) === 0;
    // libpq has closed the socket: its number may soon be another descriptor's.
    if (isBroken) unregister(this.socket);
    else this.takeNotifications();
    this.notifyMoved();
    return isBroken;
  }

  private notifyMoved(): boolean {
    const { moved } = this;
    this.moved = newFuture("Database");
    moved.complete();
    return true;
  }

  private takeNotifications(): void {
    for (;;) {
      const notification = pq.PQnotifies(this.connection) as Pointer | null;
      if (notification === null) return;
      // struct pgNotify { char *relname; int be_pid; char *extra; }
      const [channel, payload] = [0, 16].map((at) => String(new CString(read.ptr(notification, at) as Pointer)));
      pq.PQfreemem(notification);
      this.onNotification(channel as string, payload as string);
    }
  }
}

/** Waits once. While it connects, libpq may close its socket and open another, so that none stays registered. */
async function ready(socket: AsyncFD, add: typeof addRead): Promise<void> {
  const isReady = newFuture("ready");
  register(socket);
  add(socket, () => {
    isReady.complete();
    return true;
  });
  await isReady;
  unregister(socket);
}

function errorOf(connection: Pointer): Error {
  return new Error(pq.PQerrorMessage(connection)?.trim());
}

function rowsOf(result: Pointer): Row[] {
  const names = Array.from({ length: pq.PQnfields(result) }, (_, column) => pq.PQfname(result, column) as string);
  const valueAt = (row: number, column: number) =>
    pq.PQgetisnull(result, row, column) === 1 ? null : pq.PQgetvalue(result, row, column);
  return Array.from({ length: pq.PQntuples(result) }, (_, row) =>
    Object.fromEntries(names.map((name, column) => [name, valueAt(row, column)])),
  );
}

const info = process.argv[2] ?? process.env.PGURL ?? "";
const database = await Database.connect(info, (channel, payload) => console.log(`${channel}: ${payload}`)).catch(
  (error: Error) => {
    console.error(`libpq: ${error.message}`);
    process.exit(1);
  },
);
await database.query("listen example");

async function answer(sql: string): Promise<Response> {
  try {
    return Response.json(await database.query(sql));
  } catch (error) {
    return new Response(`${(error as Error).message}\n`, { status: 500 });
  }
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0, // the system chooses
  routes: {
    "/": () => new Response(`queries waiting: ${database.waiting}\n`),
    "/databases": () => answer("select datname, pg_database_size(oid) as bytes from pg_database order by datname"),
    // Number() keeps what comes from outside from being more than a number.
    "/sleep/:seconds": ({ params }) => answer(`select pg_sleep(${Number(params.seconds)})`),
    "/divide/:a/:b": ({ params: { a, b } }) => answer(`select ${Number(a)} / ${Number(b)} as quotient`),
  },
});
console.log(`listening on ${server.url}`);
