/* A program with a loop of its own: it is registered while it runs, is told by poll(2) when its
 * service changes, and leaves cleanly on SIGINT and SIGTERM.
 *   cc poll.c $(pkg-config --cflags --libs quorate) && ./a.out 127.0.0.1:2379 127.0.0.1:8080 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <quorate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stopping;

static void stop(int number) {
  (void)number;
  stopping = 1;
}

static void check(quorate_code_t code, quorate_error_t *error) {
  if (code == QUORATE_OK) return;
  fprintf(stderr, "%s: %s; %s\n", error->name, error->message, error->next_step);
  exit(1); /* Closes what is open. */
}

static void show(const quorate_event_t *event) {
  if (event->kind == QUORATE_EVENT_SERVICE) {
    const quorate_view_t *view = event->service->view;
    printf("%zu instances:", view->instance_count);
    for (size_t i = 0; i < view->instance_count; i++) printf(" %s", view->instances[i]->address);
    printf("\n");
  } else if (event->kind == QUORATE_EVENT_EVICTED) {
    printf("removed by somebody else\n");
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  const char *server = argc > 1 ? argv[1] : "127.0.0.1:2379";
  const char *address = argc > 2 ? argv[2] : "127.0.0.1:8080";
  quorate_error_t *error = NULL;

  /* The signals come only while ppoll() waits, so none is missed. */
  sigset_t handled, before;
  sigemptyset(&handled);
  sigaddset(&handled, SIGINT);
  sigaddset(&handled, SIGTERM);
  sigprocmask(SIG_BLOCK, &handled, &before);
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);

  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  quorate_client_t *client = NULL;
  check(quorate_client_open(&options, &client, &error), error);

  quorate_registration_t *registration = NULL;
  check(quorate_register(client, "shop", address, NULL, QUORATE_NO_LIMIT, NULL, &registration,
                         &error),
        error);

  quorate_queue_t *queue = NULL;
  quorate_watch_t *watch = NULL, *evicted = NULL;
  check(quorate_queue_open(&queue, &error), error);
  check(quorate_watch_service(client, "shop", queue, NULL, &watch, &error), error);
  check(quorate_registration_notify(registration, queue, NULL, &evicted, &error), error);

  struct pollfd descriptors[] = {{.fd = quorate_queue_fd(queue), .events = POLLIN}};
  while (!stopping) {
    if (ppoll(descriptors, 1, NULL, &before) < 0) {
      if (errno != EINTR) return 1;
      continue;
    }
    quorate_event_t *event = NULL;
    while (quorate_queue_next(queue, 0, NULL, &event, NULL) == QUORATE_OK) {
      show(event);
      quorate_event_free(&event);
    }
  }

  check(quorate_registration_deregister(registration, 1000, NULL, &error), error);
  quorate_watch_free(&evicted);
  quorate_watch_free(&watch);
  quorate_queue_free(&queue);
  quorate_registration_free(&registration);
  check(quorate_client_close(client, 1000, NULL, &error), error);
  quorate_client_free(&client);
  return 0;
}
