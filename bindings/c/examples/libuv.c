/* The same in a libuv loop: uv_poll_t on the queue's descriptor, uv_signal_t for the end.
 *   cc libuv.c $(pkg-config --cflags --libs quorate libuv) && ./a.out 127.0.0.1:2379 */
#define _GNU_SOURCE /* for <uv.h> */
#include <quorate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static void check(quorate_code_t code, quorate_error_t *error) {
  if (code == QUORATE_OK) return;
  fprintf(stderr, "%s: %s; %s\n", error->name, error->message, error->next_step);
  exit(1); /* Closes what is open. */
}

static void ready(uv_poll_t *poll, int status, int events) {
  (void)events;
  if (status < 0) return;
  quorate_event_t *event = NULL;
  while (quorate_queue_next(poll->data, 0, NULL, &event, NULL) == QUORATE_OK) {
    if (event->kind == QUORATE_EVENT_SERVICE) {
      printf("%zu instances\n", event->service->view->instance_count);
    } else if (event->kind == QUORATE_EVENT_LEADER) {
      printf("led by %s\n", event->leader->value);
    }
    fflush(stdout);
    quorate_event_free(&event);
  }
}

static void stop(uv_signal_t *handle, int number) {
  (void)number;
  uv_stop(handle->loop);
}

static void close_handle(uv_handle_t *handle, void *unused) {
  (void)unused;
  uv_close(handle, NULL);
}

int main(int argc, char **argv) {
  const char *server = argc > 1 ? argv[1] : "127.0.0.1:2379";
  quorate_error_t *error = NULL;
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  quorate_client_t *client = NULL;
  quorate_queue_t *queue = NULL;
  quorate_watch_t *service = NULL, *election = NULL;
  check(quorate_client_open(&options, &client, &error), error);
  check(quorate_queue_open(&queue, &error), error);
  check(quorate_watch_service(client, "shop", queue, NULL, &service, &error), error);
  check(quorate_observe(client, "reports", queue, NULL, &election, &error), error);

  uv_loop_t *loop = uv_default_loop();
  uv_poll_t poll;
  uv_signal_t interrupt, terminate;
  uv_poll_init(loop, &poll, quorate_queue_fd(queue));
  poll.data = queue;
  uv_poll_start(&poll, UV_READABLE, ready);
  uv_signal_init(loop, &interrupt);
  uv_signal_start(&interrupt, stop, SIGINT);
  uv_signal_init(loop, &terminate);
  uv_signal_start(&terminate, stop, SIGTERM);
  uv_run(loop, UV_RUN_DEFAULT);

  /* The loop lets go of the descriptor before the queue goes. */
  uv_walk(loop, close_handle, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  uv_loop_close(loop);
  quorate_watch_free(&election);
  quorate_watch_free(&service);
  quorate_queue_free(&queue);
  check(quorate_client_close(client, 1000, NULL, &error), error);
  quorate_client_free(&client);
  return 0;
}
