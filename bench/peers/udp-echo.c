// An echo server for datagrams as a plain C programmer writes it: one thread, level-triggered epoll, one buffer; the
// socket is emptied whenever it is readable.
// Usage: udp-echo [readBytes]
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void echoAll(int server, char *buffer, size_t readBytes) {
  for (;;) {
    struct sockaddr_storage sender;
    socklen_t senderBytes = sizeof sender;
    ssize_t length = recvfrom(server, buffer, readBytes, 0, (struct sockaddr *)&sender, &senderBytes);
    if (length < 0) {
      check(errno == EAGAIN || errno == EINTR, "recvfrom");
      return;
    }
    // What the socket has no room for is lost, as it may be anyway.
    ssize_t sent = sendto(server, buffer, length, MSG_NOSIGNAL, (struct sockaddr *)&sender, senderBytes);
    check(sent == length || errno == EAGAIN || errno == EINTR, "sendto");
  }
}

int main(int argc, char **argv) {
  size_t readBytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 16384;
  char *buffer = malloc(readBytes);
  check(readBytes > 0 && buffer != NULL, "readBytes");

  int server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t addressBytes = sizeof address;
  check(server >= 0, "socket");
  check(bind(server, (struct sockaddr *)&address, addressBytes) == 0, "bind");
  check(getsockname(server, (struct sockaddr *)&address, &addressBytes) == 0, "getsockname");
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);

  int epfd = epoll_create1(EPOLL_CLOEXEC);
  check(epfd >= 0, "epoll_create1");
  struct epoll_event event = {.events = EPOLLIN};
  check(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &event) == 0, "epoll_ctl");
  for (;;) {
    int count = epoll_wait(epfd, &event, 1, -1);
    check(count >= 0 || errno == EINTR, "epoll_wait");
    if (count > 0) echoAll(server, buffer, readBytes);
  }
}
