// The load generator for HTTP: keep-alive connections, each with one request at a time. Every response must be as long
// as the first one and begin with its status line.
// Usage: http-client port connections requests maxSeconds; the rest as in client.c.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { maxEvents = 512, maxResponse = 4096 };

typedef struct {
  int fd;
  size_t received;
} Connection;

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char status[] = "HTTP/1.1 200 OK\r\n";
static size_t responseBytes;
static char buffer[maxResponse];
static long started, finished, requestCount;

static void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static uint64_t nowNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int openSocket(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  check(fd >= 0, "socket");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

// A request fits into the socket: the one before it has been answered.
static void ask(int fd) {
  check(send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1, "send");
}

// The whole length of the first response, which the later ones have as well.
static size_t learnResponse(int fd) {
  size_t length = 0;
  ask(fd);
  for (;;) {
    ssize_t more = recv(fd, buffer + length, maxResponse - 1 - length, 0);
    check(more > 0, "the first response");
    buffer[length += more] = 0;
    char *body = strstr(buffer, "\r\n\r\n"), *size = strcasestr(buffer, "content-length:");
    if (!body || !size) continue;
    size_t whole = body + 4 - buffer + atol(size + strlen("content-length:"));
    if (length == whole) return whole;
  }
}

static void next(Connection *connection) {
  connection->received = 0;
  if (started < requestCount) {
    started++;
    ask(connection->fd);
  }
}

static void step(Connection *connection) {
  ssize_t length = recv(connection->fd, buffer, maxResponse, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  check(length > 0, "a response");
  if (connection->received == 0 && memcmp(buffer, status, sizeof status - 1) != 0) exit(2);
  connection->received += length;
  if (connection->received < responseBytes) return;
  if (connection->received > responseBytes) exit(2);
  finished++;
  next(connection);
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "http-client port connections requests maxSeconds\n");
    return 1;
  }
  long connectionCount = atol(argv[2]);
  requestCount = atol(argv[3]);
  double maxSeconds = atof(argv[4]);
  Connection *connections = calloc(connectionCount, sizeof *connections);
  check(connections != NULL, "calloc");
  int epfd = epoll_create1(EPOLL_CLOEXEC);
  check(epfd >= 0, "epoll_create1");
  for (long i = 0; i < connectionCount; i++) {
    connections[i].fd = openSocket(atoi(argv[1]));
    if (i == 0) responseBytes = learnResponse(connections[i].fd);
    check(fcntl(connections[i].fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
    check(epoll_ctl(epfd, EPOLL_CTL_ADD, connections[i].fd, &event) == 0, "epoll_ctl");
  }
  for (int run = 0;; run++) {
    if (run > 0) {
      int byte;
      while ((byte = getchar()) != '\n')
        if (byte == EOF) return 0;
    }
    uint64_t begin = nowNs(), deadline = begin + (uint64_t)(maxSeconds * 1e9);
    started = finished = 0;
    for (long i = 0; i < connectionCount; i++) next(&connections[i]);
    struct epoll_event events[maxEvents];
    while (finished < requestCount && nowNs() < deadline) {
      int count = epoll_wait(epfd, events, maxEvents, 100);
      for (int i = 0; i < count; i++) step(events[i].data.ptr);
    }
    if (run == 0 && finished == requestCount) printf("ready\n");
    else printf("{\"requests\":%ld,\"elapsedNs\":%lu,\"errors\":0}\n", finished, nowNs() - begin);
    fflush(stdout);
    if (finished < requestCount) return 3;
  }
}
