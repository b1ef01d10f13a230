/* Keys: writing, reading, ranges, transactions, leases, watches, compaction. */
#include "check.h"

static void puts_and_gets(quorate_client_t *client) {
  quorate_put_result_t *put = NULL;
  OK(quorate_put(client, TEXT("a/1"), TEXT("one"), NULL, SOON, NULL, &put, &error));
  int64_t first = put->revision;
  CHECK(first > 0 && put->previous == NULL);
  quorate_put_result_free(&put);
  CHECK(put == NULL);
  quorate_put_result_free(&put);

  quorate_put_options_t options;
  quorate_put_options_init(&options, sizeof options);
  options.previous = 1;
  OK(quorate_put(client, TEXT("a/1"), TEXT("uno"), &options, SOON, NULL, &put, &error));
  CHECK(put->revision == first + 1);
  CHECK(put->previous != NULL && strcmp(put->previous->value, "one") == 0);
  quorate_put_result_free(&put);

  /* The result may be of no interest; and bytes are bytes. */
  OK(quorate_put(client, "a/\0\xff", 4, "\0\1", 2, NULL, QUORATE_NO_LIMIT, NULL, NULL, &error));
  quorate_key_value_t *found = NULL;
  OK(quorate_get(client, "a/\0\xff", 4, 0, false, SOON, NULL, &found, &error));
  CHECK(found->key_size == 4 && memcmp(found->key, "a/\0\xff", 5) == 0);
  CHECK(found->value_size == 2 && memcmp(found->value, "\0\1", 3) == 0);
  CHECK(found->version == 1 && found->create_revision == found->mod_revision && found->lease == 0);
  quorate_key_value_free(&found);

  OK(quorate_get(client, TEXT("a/1"), first, true, SOON, NULL, &found, &error));
  CHECK(strcmp(found->value, "one") == 0);
  quorate_key_value_free(&found);
  OK(quorate_get(client, TEXT("nowhere"), 0, false, SOON, NULL, &found, &error));
  CHECK(found == NULL);
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_get(client, NULL, 0, 0, false, SOON, NULL, &found, &error));
  FAILS(QUORATE_OUT_OF_RANGE,
        quorate_get(client, TEXT("a/1"), first + 1000, false, SOON, NULL, &found, &error));
  /* Without a place for the error, the code tells. */
  CHECK(quorate_get(client, NULL, 0, 0, false, SOON, NULL, &found, NULL) == QUORATE_INVALID_ARGUMENT);
}

static void ranges(quorate_client_t *client) {
  const char *keys[] = {"r/a", "r/b", "r/c"};
  for (int i = 0; i < 3; i++) {
    OK(quorate_put(client, TEXT(keys[i]), TEXT("v"), NULL, SOON, NULL, NULL, &error));
  }
  quorate_range_options_t options;
  quorate_range_options_init(&options, sizeof options);
  options.prefix = "r/";
  options.prefix_size = 2;
  options.limit = 2;
  options.descending = 1;
  quorate_range_result_t *result = NULL;
  OK(quorate_range(client, &options, SOON, NULL, &result, &error));
  CHECK(result->kv_count == 2 && result->count == 3 && result->more && result->revision > 0);
  CHECK(strcmp(result->kvs[0]->key, "r/c") == 0 && strcmp(result->kvs[1]->key, "r/b") == 0);
  CHECK(result->kvs[2] == NULL);
  quorate_range_result_free(&result);

  quorate_range_options_init(&options, sizeof options);
  options.start = "r/b";
  options.start_size = 3;
  options.end = "r/c";
  options.end_size = 3;
  options.keys_only = 1;
  OK(quorate_range(client, &options, SOON, NULL, &result, &error));
  CHECK(result->kv_count == 1 && result->kvs[0]->value_size == 0 && !result->more);
  quorate_range_result_free(&result);

  /* Everything, but only counted. */
  quorate_range_options_init(&options, sizeof options);
  options.prefix = "";
  options.count_only = 1;
  OK(quorate_range(client, &options, SOON, NULL, &result, &error));
  CHECK(result->kv_count == 0 && result->kvs[0] == NULL && result->count >= 5);
  quorate_range_result_free(&result);

  FAILS(QUORATE_INVALID_ARGUMENT, quorate_range(client, NULL, SOON, NULL, &result, &error));
  options.sort = 77;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_range(client, &options, SOON, NULL, &result, &error));

  uint64_t deleted = 0;
  OK(quorate_delete(client, TEXT("r/a"), false, SOON, NULL, &deleted, &error));
  CHECK(deleted == 1);
  OK(quorate_delete(client, TEXT("r/"), true, SOON, NULL, &deleted, &error));
  CHECK(deleted == 2);
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_delete(client, "", 0, true, SOON, NULL, NULL, &error));
}

static void transactions(quorate_client_t *client) {
  quorate_txn_t *txn = NULL;
  OK(quorate_txn_open(&txn, &error));
  OK(quorate_txn_when_exists(txn, TEXT("t/owner"), true, &error));
  OK(quorate_txn_put(txn, QUORATE_THEN, TEXT("t/owner"), TEXT("anna"), NULL, &error));
  OK(quorate_txn_get(txn, QUORATE_OTHERWISE, TEXT("t/owner"), &error));
  quorate_txn_result_t *result = NULL;
  OK(quorate_txn_commit(client, txn, SOON, NULL, &result, &error));
  CHECK(result->succeeded && result->result_count == 1);
  CHECK(result->results[0]->op == QUORATE_OP_PUT);
  CHECK(result->results[0]->put->revision == result->revision);
  CHECK(result->results[1] == NULL);
  quorate_txn_result_free(&result);
  OK(quorate_txn_commit(client, txn, SOON, NULL, &result, &error));
  CHECK(!result->succeeded && result->results[0]->op == QUORATE_OP_RANGE);
  CHECK(strcmp(result->results[0]->range->kvs[0]->value, "anna") == 0);
  quorate_txn_result_free(&result);
  quorate_txn_free(&txn);

  /* All kinds of conditions, a nested transaction and deletions. */
  quorate_txn_t *inner = NULL;
  OK(quorate_txn_open(&inner, &error));
  OK(quorate_txn_delete(inner, QUORATE_THEN, TEXT("t/"), true, &error));
  OK(quorate_txn_open(&txn, &error));
  OK(quorate_txn_when_value(txn, TEXT("t/owner"), false, QUORATE_EQUAL, TEXT("anna"), &error));
  OK(quorate_txn_when_number(txn, TEXT("t/owner"), false, QUORATE_TARGET_VERSION, QUORATE_EQUAL, 1,
                             &error));
  OK(quorate_txn_when_number(txn, TEXT("t/"), true, QUORATE_TARGET_CREATE_REVISION,
                             QUORATE_GREATER, 0, &error));
  OK(quorate_txn_when_number(txn, TEXT("t/owner"), false, QUORATE_TARGET_MOD_REVISION,
                             QUORATE_NOT_EQUAL, 1, &error));
  OK(quorate_txn_when_number(txn, TEXT("t/owner"), false, QUORATE_TARGET_LEASE, QUORATE_LESS, 1,
                             &error));
  quorate_range_options_t all;
  quorate_range_options_init(&all, sizeof all);
  all.prefix = "t/";
  all.prefix_size = 2;
  OK(quorate_txn_range(txn, QUORATE_THEN, &all, &error));
  OK(quorate_txn_nested(txn, QUORATE_THEN, inner, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_txn_get(txn, 9, TEXT("x"), &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_txn_when_value(txn, TEXT("x"), false, 9, TEXT("x"), &error));
  FAILS(QUORATE_INVALID_ARGUMENT,
        quorate_txn_when_number(txn, TEXT("x"), false, 9, QUORATE_EQUAL, 0, &error));
  OK(quorate_txn_commit(client, txn, SOON, NULL, &result, &error));
  CHECK(result->succeeded && result->result_count == 2);
  CHECK(result->results[0]->range->count == 1);
  CHECK(result->results[1]->op == QUORATE_OP_TXN);
  const quorate_txn_result_t *nested = result->results[1]->txn;
  CHECK(nested->result_count == 1 && nested->results[0]->op == QUORATE_OP_DELETE);
  CHECK(nested->results[0]->deleted == 1);
  quorate_txn_result_free(&result);
  quorate_txn_free(&txn);
  quorate_txn_free(&inner);
}

static void watches(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_put_result_t *put = NULL;
  OK(quorate_put(client, TEXT("w/1"), TEXT("before"), NULL, SOON, NULL, &put, &error));
  quorate_watch_options_t options;
  quorate_watch_options_init(&options, sizeof options);
  options.prefix = 1;
  options.previous = 1;
  options.start_revision = put->revision;
  quorate_put_result_free(&put);
  int here = 0;
  quorate_watch_t *watch = NULL;
  OK(quorate_watch(client, TEXT("w/"), &options, queue, &here, &watch, &error));
  OK(quorate_put(client, TEXT("w/1"), TEXT("after"), NULL, SOON, NULL, NULL, &error));
  OK(quorate_delete(client, TEXT("w/1"), false, SOON, NULL, NULL, &error));
  const char *values[] = {"before", "after", ""};
  const char *befores[] = {NULL, "before", "after"};
  int seen = 0;
  while (seen < 3) {
    quorate_event_t *event = next_event(queue);
    CHECK(event->kind == QUORATE_EVENT_KEYS && event->user_data == &here);
    CHECK(event->keys->revision > 0 && event->service == NULL && event->error == NULL);
    for (size_t i = 0; i < event->keys->event_count; i++, seen++) {
      const quorate_key_event_t *change = event->keys->events[i];
      CHECK(change->change == (seen == 2 ? QUORATE_KEY_DELETE : QUORATE_KEY_PUT));
      CHECK(strcmp(change->kv->value, values[seen]) == 0);
      CHECK((change->previous == NULL) == (befores[seen] == NULL));
      CHECK(befores[seen] == NULL || strcmp(change->previous->value, befores[seen]) == 0);
    }
    quorate_event_free(&event);
  }
  quorate_watch_free(&watch);
  CHECK(watch == NULL);

  /* More than may wait at a time: nothing is lost, and freeing it forgets what waits. */
  OK(quorate_watch(client, TEXT("w/2"), NULL, queue, NULL, &watch, &error));
  quorate_put_result_t *last = NULL;
  OK(quorate_put(client, TEXT("w/2"), TEXT("x"), NULL, SOON, NULL, NULL, &error));
  quorate_event_t *event = next_event(queue);
  quorate_event_free(&event);
  for (int i = 0; i < 100; i++) {
    OK(quorate_put(client, TEXT("w/2"), TEXT("x"), NULL, SOON, NULL, &last, &error));
    if (i < 99) quorate_put_result_free(&last);
  }
  size_t changes = 0;
  for (int64_t at = 0; at < last->revision;) {
    event = next_event(queue);
    CHECK(event->keys->revision > at);
    at = event->keys->revision;
    changes += event->keys->event_count;
    quorate_event_free(&event);
  }
  CHECK(changes == 100);
  OK(quorate_put(client, TEXT("w/2"), TEXT("y"), NULL, SOON, NULL, NULL, &error));
  quorate_watch_free(&watch);
  FAILS(QUORATE_TIMEOUT, quorate_queue_next(queue, 0, NULL, &event, &error));

  /* History that is gone ends a watch with the reason. */
  OK(quorate_compact(client, last->revision, SOON, NULL, &error));
  FAILS(QUORATE_OUT_OF_RANGE, quorate_compact(client, 1, SOON, NULL, &error));
  quorate_put_result_free(&last);
  quorate_watch_options_init(&options, sizeof options);
  options.start_revision = 1;
  OK(quorate_watch(client, TEXT("w/2"), &options, queue, &here, &watch, &error));
  event = next_event(queue);
  CHECK(event->kind == QUORATE_EVENT_END && event->error->code == QUORATE_OUT_OF_RANGE);
  quorate_event_free(&event);
  quorate_watch_free(&watch);
  quorate_queue_free(&queue);
}

static void leases(quorate_client_t *client) {
  quorate_lease_t *lease = NULL;
  OK(quorate_lease(client, 5000, SOON, NULL, &lease, &error));
  CHECK(quorate_lease_id(lease) > 0 && quorate_lease_ttl_ms(lease) >= 5000);
  quorate_put_options_t options;
  quorate_put_options_init(&options, sizeof options);
  options.lease = quorate_lease_id(lease);
  OK(quorate_put(client, TEXT("l/1"), TEXT("x"), &options, SOON, NULL, NULL, &error));
  quorate_lease_info_t *info = NULL;
  OK(quorate_lease_time_to_live(client, options.lease, SOON, NULL, &info, &error));
  CHECK(info->id == options.lease && info->granted_ms >= 5000 && info->remaining_ms > 0);
  CHECK(info->key_count == 1 && info->keys[0].size == 3 && strcmp(info->keys[0].data, "l/1") == 0);
  quorate_lease_info_free(&info);
  CHECK(!quorate_lease_is_lost(lease));
  bool lost = true;
  OK(quorate_lease_wait_lost(lease, 0, NULL, &lost, &error));
  CHECK(!lost);
  OK(quorate_lease_revoke(lease, SOON, NULL, &error));
  OK(quorate_lease_revoke(lease, SOON, NULL, &error));
  OK(quorate_lease_time_to_live(client, options.lease, SOON, NULL, &info, &error));
  CHECK(info == NULL);
  quorate_lease_free(&lease);
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lease(client, 0, SOON, NULL, &lease, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lease(client, -1, SOON, NULL, &lease, &error));
  CHECK(lease == NULL);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(strcmp(quorate_version(), QUORATE_VERSION) == 0);
  quorate_client_t *client = open_client(argv[1]);
  OK(quorate_client_connected(client, SOON, NULL, &error));
  puts_and_gets(client);
  ranges(client);
  transactions(client);
  leases(client);
  watches(client);
  close_client(&client);
  return 0;
}
