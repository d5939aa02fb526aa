// Bun's own TCP server. Bun chooses the size of its reads.

type State = { unsent: Buffer | undefined };

const listener = Bun.listen<State>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { unsent: undefined };
    },
    data(socket, data) {
      if (socket.data.unsent) {
        socket.data.unsent = Buffer.concat([socket.data.unsent, data]);
        return;
      }
      const sentCount = Math.max(socket.write(data), 0);
      if (sentCount < data.length) socket.data.unsent = Buffer.from(data.subarray(sentCount));
    },
    drain(socket) {
      const { unsent } = socket.data;
      if (!unsent) return;
      const sentCount = Math.max(socket.write(unsent), 0);
      socket.data.unsent = sentCount < unsent.length ? unsent.subarray(sentCount) : undefined;
    },
    error() {},
  },
});

console.log(`port ${listener.port}`);
