// Bun's own UDP socket. Bun chooses the size of its reads. What the socket has no room for is lost.

const server = await Bun.udpSocket({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket, data, port, address) {
      socket.send(data, port, address);
    },
    error() {},
  },
});

console.log(`port ${server.port}`);

export {}; // makes this a module, in which await is allowed
