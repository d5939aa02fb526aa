// The baseline: a single-threaded, level-triggered epoll echo server. One recv and one send per readable event.
// Usage: echo [readBytes]
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { maxFds = 1 << 16, maxEvents = 512 };

typedef struct {
  char *bytes;
  size_t at, length;
} Pending;

static Pending pending[maxFds];  // what the socket did not take yet, by descriptor
static int epfd;

static void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void watch(int fd, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  check(epoll_ctl(epfd, operation, fd, &event) == 0, "epoll_ctl");
}

static void drop(int fd) {
  free(pending[fd].bytes);
  pending[fd] = (Pending){0};
  close(fd);
}

static void acceptAll(int server) {
  for (;;) {
    int fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      check(errno == EAGAIN || errno == ECONNABORTED || errno == EINTR, "accept4");
      return;
    }
    check(fd < maxFds, "too many descriptors");
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
  }
}

static void readable(int fd, char *buffer, size_t readBytes) {
  ssize_t length = recv(fd, buffer, readBytes, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) return drop(fd);
  ssize_t sent = send(fd, buffer, length, MSG_NOSIGNAL);
  if (sent == length) return;
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return drop(fd);
  if (sent < 0) sent = 0;
  Pending rest = {malloc(length - sent), 0, length - sent};
  check(rest.bytes != NULL, "malloc");
  memcpy(rest.bytes, buffer + sent, rest.length);
  pending[fd] = rest;
  watch(fd, EPOLL_CTL_MOD, EPOLLOUT);  // reads no more until this is out: what waits is never over one read
}

static void writable(int fd) {
  Pending *rest = &pending[fd];
  ssize_t sent = send(fd, rest->bytes + rest->at, rest->length - rest->at, MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0) return drop(fd);
  rest->at += sent;
  if (rest->at < rest->length) return;
  free(rest->bytes);
  *rest = (Pending){0};
  watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

int main(int argc, char **argv) {
  size_t readBytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 16384;
  char *buffer = malloc(readBytes);
  check(readBytes > 0 && buffer != NULL, "readBytes");

  int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t addressBytes = sizeof address;
  int one = 1;
  check(server >= 0, "socket");
  check(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0, "setsockopt");
  check(bind(server, (struct sockaddr *)&address, addressBytes) == 0, "bind");
  check(listen(server, SOMAXCONN) == 0, "listen");
  check(getsockname(server, (struct sockaddr *)&address, &addressBytes) == 0, "getsockname");
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);

  epfd = epoll_create1(EPOLL_CLOEXEC);
  check(epfd >= 0, "epoll_create1");
  watch(server, EPOLL_CTL_ADD, EPOLLIN);
  struct epoll_event events[maxEvents];
  for (;;) {
    int count = epoll_wait(epfd, events, maxEvents, -1);
    check(count >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == server) acceptAll(server);
      else if (pending[fd].bytes) writable(fd);
      else readable(fd, buffer, readBytes);
    }
  }
}
