/* Wrong arguments are errors, never a crash; structs of other sizes work. */
#include "check.h"

#include <limits.h>

static void nulls(quorate_client_t *client) {
  quorate_view_t *view = NULL;
  quorate_lock_t *lock = NULL;
  quorate_key_value_t *found = NULL;
  quorate_registration_t *registration = NULL;
  quorate_pick_t *pick = NULL;
  quorate_queue_t *queue = NULL;
  quorate_event_t *event = NULL;
  quorate_watch_t *watch = NULL;
  quorate_txn_t *txn = NULL;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_open(NULL, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_connected(NULL, SOON, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_close(NULL, SOON, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(NULL, "x", SOON, NULL, &view, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(client, NULL, SOON, NULL, &view, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(client, "x", SOON, NULL, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock(client, NULL, NULL, SOON, NULL, &lock, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock(client, "x", NULL, SOON, NULL, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock_unlock(NULL, SOON, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_get(client, NULL, 5, 0, false, SOON, NULL, &found, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_get(client, "x", SIZE_MAX, 0, false, SOON, NULL, &found, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "x", NULL, NULL, SOON, NULL, &registration, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_pick(client, NULL, NULL, &pick, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_pick_report(NULL, 0, 0, 0, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_queue_open(NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_queue_next(NULL, 0, NULL, &event, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_queue_dispatch(NULL, NULL, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_watch_service(client, "x", queue, NULL, &watch, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_txn_commit(client, txn, SOON, NULL, NULL, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_txn_get(txn, QUORATE_THEN, TEXT("x"), &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_metrics(client, NULL, &error));
  CHECK(quorate_queue_fd(NULL) == -1 && !quorate_may_retry(client, NULL));
  CHECK(!quorate_may_retry(NULL, "x") && quorate_lock_is_lost(NULL));
  CHECK(quorate_lock_name(NULL) == NULL && quorate_pick_address(NULL) == NULL);
  size_t size = 1;
  CHECK(quorate_lock_key(NULL, &size) == NULL && size == 0);
  quorate_cancel_fire(NULL);
  quorate_cancel_reset(NULL);
  quorate_client_free(NULL);
  quorate_lock_free(&lock);
  quorate_error_free(NULL);
  quorate_client_options_init(NULL, 100);
  CHECK(strcmp(quorate_code_name(0), "ok") == 0);
  CHECK(strcmp(quorate_code_name(INT_MAX), "unknown") == 0);
}

static void wrong_handles(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_view_t *view = NULL;
  /* A handle of another kind, and memory that is none. */
  quorate_client_t *wrong = (quorate_client_t *)(void *)queue;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(wrong, "x", SOON, NULL, &view, &error));
  uint64_t memory[8] = {0};
  wrong = (quorate_client_t *)(void *)memory;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(wrong, "x", SOON, NULL, &view, &error));
  quorate_client_free(&wrong);
  CHECK(wrong != NULL);
  wrong = (quorate_client_t *)(void *)((char *)memory + 1);
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(wrong, "x", SOON, NULL, &view, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_client_connected(client, SOON, (quorate_cancel_t *)(void *)queue, &error));
  quorate_queue_free(&queue);
  quorate_queue_free(&queue);
}

static void bad_values(quorate_client_t *client) {
  quorate_view_t *view = NULL;
  quorate_lock_t *lock = NULL;
  quorate_registration_t *registration = NULL;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(client, "\xff\xfe", SOON, NULL, &view, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_discover(client, "", SOON, NULL, &view, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock(client, "\xc3\x28", NULL, SOON, NULL, &lock, &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "x", "no-port", NULL, SOON, NULL, &registration, &error));
  quorate_instance_options_t options;
  quorate_instance_options_init(&options, sizeof options);
  int32_t weights[] = {-1, 65536, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
    options.weight = weights[i];
    FAILS(QUORATE_INVALID_ARGUMENT,
          quorate_register(client, "x", "h:1", &options, SOON, NULL, &registration, &error));
  }
  quorate_instance_options_init(&options, sizeof options);
  int64_t ttls[] = {-1, 0, 999, 3600001, INT64_MAX};
  for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
    options.ttl_ms = ttls[i];
    FAILS(QUORATE_INVALID_ARGUMENT,
          quorate_register(client, "x", "h:1", &options, SOON, NULL, &registration, &error));
  }
  quorate_instance_options_init(&options, sizeof options);
  options.status = 99;
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "x", "h:1", &options, SOON, NULL, &registration, &error));
  quorate_instance_options_init(&options, sizeof options);
  options.metadata_count = 1;
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "x", "h:1", &options, SOON, NULL, &registration, &error));
  quorate_client_options_t wrong;
  quorate_client_options_init(&wrong, sizeof wrong);
  wrong.algorithm = 17;
  quorate_client_t *none = NULL;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_open(&wrong, &none, &error));
  quorate_client_options_init(&wrong, sizeof wrong);
  wrong.request_timeout_ms = -5;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_open(&wrong, &none, &error));
}

/* Options as an older header had them, before `status`, and as a newer one may. */
struct older {
  size_t struct_size;
  const char *id, *zone, *version;
  const quorate_label_t *metadata;
  size_t metadata_count;
  int64_t ttl_ms;
  int32_t weight;
};
struct newer {
  quorate_instance_options_t known;
  int64_t unheard_of;
};

static void sizes(quorate_client_t *client) {
  struct older older;
  CHECK(sizeof older <= sizeof(quorate_instance_options_t));
  size_t size = offsetof(struct older, weight) + sizeof older.weight;
  quorate_instance_options_init((quorate_instance_options_t *)(void *)&older, size);
  CHECK(older.struct_size == size && older.weight == 100 && older.ttl_ms == 10000);
  older.weight = 5;
  quorate_registration_t *registration = NULL;
  OK(quorate_register(client, "sizes", "h:1", (quorate_instance_options_t *)(void *)&older, SOON,
                      NULL, &registration, &error));
  quorate_view_t *view = NULL;
  do {
    quorate_view_free(&view);
    OK(quorate_discover(client, "sizes", SOON, NULL, &view, &error));
  } while (view->instance_count != 1);
  CHECK(view->instances[0]->weight == 5 && view->instances[0]->status == QUORATE_STATUS_UP);
  quorate_view_free(&view);
  quorate_registration_free(&registration);

  struct newer newer;
  newer.unheard_of = 1;
  quorate_instance_options_init(&newer.known, sizeof newer);
  CHECK(newer.known.struct_size == sizeof newer && newer.unheard_of == 0);
  OK(quorate_register(client, "sizes", "h:2", &newer.known, SOON, NULL, &registration, &error));
  quorate_registration_free(&registration);
  newer.unheard_of = 1;
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "sizes", "h:2", &newer.known, SOON, NULL, &registration, &error));

  /* Never initialised. */
  quorate_instance_options_t zero;
  memset(&zero, 0, sizeof zero);
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "sizes", "h:2", &zero, SOON, NULL, &registration, &error));
  zero.struct_size = SIZE_MAX;
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_register(client, "sizes", "h:2", &zero, SOON, NULL, &registration, &error));

  /* A struct that is filled: as much as there is room for. */
  struct {
    size_t struct_size;
    uint64_t retries, guard;
  } small = {2 * sizeof(uint64_t), 99, 77};
  OK(quorate_metrics(client, (quorate_metrics_t *)(void *)&small, &error));
  CHECK(small.retries == 0 && small.guard == 77 && small.struct_size == 16);
  small.struct_size = 0;
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_metrics(client, (quorate_metrics_t *)(void *)&small, &error));
}

static void closed(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_watch_t *watch = NULL;
  OK(quorate_watch(client, TEXT("x"), NULL, queue, NULL, &watch, &error));
  OK(quorate_client_close(client, SOON, NULL, &error));
  OK(quorate_client_close(client, SOON, NULL, &error));
  quorate_event_t *event = next_event(queue);
  CHECK(event->kind == QUORATE_EVENT_END && event->error == NULL);
  quorate_event_free(&event);
  FAILS(QUORATE_CLOSED, quorate_put(client, TEXT("k"), TEXT("v"), NULL, SOON, NULL, NULL, &error));
  quorate_view_t *view = NULL;
  FAILS(QUORATE_CLOSED, quorate_discover(client, "x", SOON, NULL, &view, &error));
  OK(quorate_queue_close(queue, &error));
  FAILS(QUORATE_CLOSED, quorate_queue_next(queue, SOON, NULL, &event, &error));
  FAILS(QUORATE_CLOSED, quorate_log(queue, QUORATE_LOG_INFO, &error));
  /* In any order. */
  quorate_queue_free(&queue);
  quorate_watch_free(&watch);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  quorate_client_t *client = open_client(argv[1]);
  nulls(client);
  wrong_handles(client);
  bad_values(client);
  sizes(client);
  closed(client);
  quorate_client_free(&client);
  return 0;
}
