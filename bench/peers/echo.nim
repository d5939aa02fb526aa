# std/asyncdispatch on raw descriptors, without asyncnet's buffering.
# Usage: echo [readBytes]
import std/[asyncdispatch, nativesockets, os, strutils]

let readBytes = if paramCount() > 0: parseInt(paramStr(1)) else: 16384

proc serve(client: AsyncFD) {.async.} =
  while true:
    let data = await recv(client, readBytes)
    if data.len == 0: break
    await send(client, data)
  closeSocket(client)

proc listenLoop(server: AsyncFD) {.async.} =
  while true:
    asyncCheck serve(await accept(server))

let server = createAsyncNativeSocket()
setSockOptInt(SocketHandle(server), SOL_SOCKET, SO_REUSEADDR, 1)
let address = getAddrInfo("127.0.0.1", Port(0))
doAssert bindAddr(SocketHandle(server), address.ai_addr, SockLen(address.ai_addrlen)) == 0
freeAddrInfo(address)
doAssert listen(SocketHandle(server)) == 0
echo "port ", int(getLocalAddr(SocketHandle(server), AF_INET)[1])
stdout.flushFile()
asyncCheck listenLoop(server)
runForever()
