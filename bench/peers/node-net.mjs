// node:net, for Node and for Bun. The runtime chooses the size of its reads and queues what the socket does not take.
import { createServer } from "node:net";

const server = createServer((socket) => {
  socket.on("data", (data) => socket.write(data));
  socket.on("error", () => socket.destroy());
});

server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
