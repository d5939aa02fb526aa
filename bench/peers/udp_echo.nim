# std/asyncdispatch's datagrams on a raw descriptor.
# Usage: udp_echo [readBytes]
import std/[asyncdispatch, nativesockets, os, strutils]

let readBytes = if paramCount() > 0: parseInt(paramStr(1)) else: 16384

proc serve(server: AsyncFD) {.async.} =
  var buffer = newString(readBytes)
  var sender: Sockaddr_storage
  while true:
    var senderLen = SockLen(sizeof(sender))
    let size = await recvFromInto(server, addr buffer[0], readBytes, cast[ptr SockAddr](addr sender), addr senderLen)
    await sendTo(server, addr buffer[0], size, cast[ptr SockAddr](addr sender), senderLen)

let server = createAsyncNativeSocket(Domain.AF_INET, SockType.SOCK_DGRAM, Protocol.IPPROTO_UDP)
let address = getAddrInfo("127.0.0.1", Port(0), Domain.AF_INET, SockType.SOCK_DGRAM, Protocol.IPPROTO_UDP)
doAssert bindAddr(SocketHandle(server), address.ai_addr, SockLen(address.ai_addrlen)) == 0
freeAddrInfo(address)
echo "port ", int(getLocalAddr(SocketHandle(server), Domain.AF_INET)[1])
stdout.flushFile()
waitFor serve(server)
